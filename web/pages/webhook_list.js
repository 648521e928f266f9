// All webhooks, and adding one.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { t } from '../app/i18n.js';
import { Button, Card, Empty, ErrorNote, Loading, PageHead, Table } from '../app/kit.js';
import { usePolled } from '../app/live.js';
import { to } from '../app/router.js';
import { Endpoint, Secret, WebhookForm } from '../app/webhook_forms.js';

const EVERY_MS = 5_000;

export default function WebhookList() {
  const { data, error, refresh } = usePolled(() => api.get('/api/webhooks'), EVERY_MS);
  const [adding, setAdding] = useState(false);
  const [secret, setSecret] = useState(null);
  const add = html`<${Button} kind="main" icon="plus" onClick=${() => setAdding(true)}>${t('webhooks.add')}<//>`;
  const done = async (made) => {
    setAdding(false);
    setSecret(made.secret);
    await refresh();
  };
  return html`
    <${PageHead} title=${t('nav.webhooks')} lead=${t('webhooks.lead')} actions=${data?.webhooks.length > 0 && add} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data?.webhooks.length === 0 && html`<${Card}><${Empty} icon="webhook" title=${t('webhooks.empty')} actions=${add}>${t('webhooks.empty.text')}<//><//>`}
    ${data?.webhooks.length > 0 && html`<${Card} flush><${Table} label=${t('nav.webhooks')} rows=${data.webhooks} rowKey=${(one) => one.webhook_id} columns=${[
      { label: t('webhooks.url'), cell: (one) => html`<a class="strong break" href=${to('webhooks', one.webhook_id)}>${one.url}</a>` },
      { label: t('webhooks.state'), cell: (one) => html`<${Endpoint} webhook=${one} />` },
      { label: t('webhooks.session'), cell: (one) => one.session_id ?? t('webhooks.session.all') },
      { label: t('webhooks.events'), cell: (one) => html`<span class="small">${one.events.includes('*') ? t('webhooks.events.all') : one.events.join(', ')}</span>` },
    ]} /><//>`}
    ${adding && html`<${WebhookForm} onDone=${done} onClose=${() => setAdding(false)} />`}
    ${secret && html`<${Secret} secret=${secret} onClose=${() => setSecret(null)} />`}`;
}
