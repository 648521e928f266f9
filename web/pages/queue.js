import { html } from '../app/html.js';
import { t } from '../app/i18n.js';
import { PageHead } from '../app/kit.js';

export default function Page() {
  return html`<${PageHead} title=${t('nav.queue')} />`;
}
