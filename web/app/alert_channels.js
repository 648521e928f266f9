// Who is told of alerts and reports: addresses that Apprise knows (mail, Slack, SMS, …), or one of the webhooks.
import { html, useState } from './html.js';
import { api } from './api.js';
import { t } from './i18n.js';
import { Badge, Button, Card, Confirm, Dialog, Empty, ErrorNote, Loading, SelectField, Table, TextField, Time, toast } from './kit.js';
import { useAction, usePolled } from './live.js';
import { Severity } from './watch_kit.js';

const EVERY_MS = 10_000;
const SEVERITIES = ['info', 'warning', 'critical'];

export function AlertChannels({ of }) {
  const query = of.installation ? '?installation=true' : '';
  const { data, error, refresh } = usePolled(() => api.get('/api/alerts/channels', of), EVERY_MS);
  const [adding, setAdding] = useState(false);
  const [leaving, setLeaving] = useState(null);
  const test = useAction(async (channel) => {
    const { told, error: why, duration_ms: ms } = await api.post(`/api/alerts/channels/${encodeURIComponent(channel.channel_id)}/test${query}`);
    toast(told ? t('channels.test.good', { name: channel.name, ms }) : t('channels.test.bad', { name: channel.name, why: why?.message ?? why ?? '' }), told ? 'good' : 'bad');
    await refresh();
  });
  const add = html`<${Button} kind="main" icon="plus" onClick=${() => setAdding(true)}>${t('channels.add')}<//>`;
  return html`
    <p class="quiet">${t(of.installation ? 'channels.lead.installation' : 'channels.lead')}</p>
    <${ErrorNote} error=${error ?? test.error} retry=${error && refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data?.channels.length === 0 && html`<${Card}><${Empty} icon="bell" title=${t('channels.empty')} actions=${add}>${t('channels.empty.text')}<//><//>`}
    ${data?.channels.length > 0 && html`<div class="row">${add}</div><${Card} flush><${Table} label=${t('alerts.view.channels')} rows=${data.channels} rowKey=${(one) => one.channel_id} columns=${[
      { label: t('channels.name'), cell: (one) => html`<span class="strong">${one.name}</span><br /><code class="small quiet">${one.shown ?? one.webhook_id}</code>` },
      { label: t('channels.state'), cell: (one) => html`<${Badge} tone=${one.state === 'good' ? 'good' : 'bad'}>${t(`channels.state.${one.state === 'good' ? 'good' : 'failing'}`)}<//>${one.failing_since && html`<br /><span class="small quiet">${t('alerts.since')} <${Time} at=${one.failing_since} /></span>`}` },
      { label: t('channels.least'), cell: (one) => html`<${Severity} of=${one.least} />` },
      { label: t('channels.told'), cell: (one) => html`<${Time} at=${one.told_at} />` },
      { label: '', end: true, cell: (one) => html`<div class="row tight actions"><${Button} small icon="send" disabled=${test.busy} onClick=${() => test.run(one)}>${t('webhooks.test')}<//><${Button} small kind="danger" icon="trash" label=${t('channels.delete', { name: one.name })} onClick=${() => setLeaving(one)} /></div>` },
    ]} /><//>`}
    ${adding && html`<${Add} of=${of} query=${query} onClose=${() => setAdding(false)} onDone=${async () => { setAdding(false); toast(t('action.saved')); await refresh(); }} />`}
    ${leaving && html`<${Confirm} title=${t('channels.delete', { name: leaving.name })} action=${t('action.delete')} onClose=${() => setLeaving(null)}
      act=${async () => { await api.delete(`/api/alerts/channels/${encodeURIComponent(leaving.channel_id)}${query}`); await refresh(); }}>${t('channels.delete.text')}<//>`}`;
}

function Add({ of, query, onDone, onClose }) {
  const hooks = usePolled(() => api.get('/api/webhooks'), null);
  const offered = hooks.data?.webhooks ?? [];
  const [name, setName] = useState('');
  const [kind, setKind] = useState('url');
  const [url, setUrl] = useState('');
  const [webhook, setWebhook] = useState('');
  const [least, setLeast] = useState('warning');
  const chosen = webhook || offered[0]?.webhook_id || '';
  const save = useAction(async () => {
    await api.post(`/api/alerts/channels${query}`, { name: name.trim(), least, ...(kind === 'url' ? { url: url.trim() } : { webhook_id: chosen }) });
    await onDone();
  });
  const submit = (event) => {
    event.preventDefault();
    save.run();
  };
  return html`<${Dialog} title=${t('channels.add')} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <${TextField} label=${t('channels.name')} value=${name} onValue=${setName} maxlength="100" required />
      ${!of.installation && html`<${SelectField} label=${t('channels.kind')} value=${kind} onValue=${setKind} options=${[['url', t('channels.kind.url')], ['webhook', t('channels.kind.webhook')]]} />`}
      ${kind === 'url' ? html`<${TextField} label=${t('channels.url')} hint=${t('channels.url.hint')} value=${url} onValue=${setUrl} required placeholder="mailtos://user:password@example.com?to=me@example.com" />`
    : html`<${SelectField} label=${t('nav.webhooks')} hint=${offered.length ? undefined : t('channels.no_webhook')} value=${chosen} onValue=${setWebhook} options=${offered.map((one) => [one.webhook_id, one.url])} />`}
      <${SelectField} label=${t('channels.least')} hint=${t('channels.least.hint')} value=${least} onValue=${setLeast} options=${SEVERITIES.map((one) => [one, t(`severity.${one}`)])} />
      <${ErrorNote} error=${save.error} />
      <div class="actions"><${Button} onClick=${onClose}>${t('action.cancel')}<//><${Button} kind="main" type="submit" busy=${save.busy} disabled=${!name.trim() || !(kind === 'url' ? url.trim() : chosen)}>${t('action.save')}<//></div>
    </form>
  <//>`;
}
