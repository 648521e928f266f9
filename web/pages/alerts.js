// Alerts: what is wrong now, what was, who is told of it, and from where on.
import { html } from '../app/html.js';
import { t } from '../app/i18n.js';
import { PageHead, Tabs } from '../app/kit.js';
import { replace } from '../app/router.js';
import { useUser } from '../app/session.js';
import { AlertList } from '../app/alert_list.js';
import { AlertChannels } from '../app/alert_channels.js';
import { AlertSettings } from '../app/alert_settings.js';
import { Whose } from '../app/watch_kit.js';

const VIEWS = { open: AlertList, closed: AlertList, channels: AlertChannels, settings: AlertSettings };

export default function Alerts({ parts, query }) {
  const user = useUser();
  const view = parts[0] in VIEWS ? parts[0] : 'open';
  const installation = user.operator && query.of === 'installation';
  const View = VIEWS[view];
  const show = (one, of) => replace('alerts', one, { of: of ? 'installation' : '' });
  return html`
    <${PageHead} title=${t('nav.alerts')} lead=${t('alerts.lead')} actions=${user.operator && html`<${Whose} installation=${installation} onValue=${(of) => show(view, of)} />`} />
    <div class="stack">
      <${Tabs} label=${t('alerts.views')} value=${view} onValue=${(one) => show(one, installation)} tabs=${Object.keys(VIEWS).map((one) => [one, t(`alerts.view.${one}`)])} />
      <${View} key=${`${view} ${installation}`} state=${view} of=${installation ? { installation: 'true' } : {}} />
    </div>`;
}
