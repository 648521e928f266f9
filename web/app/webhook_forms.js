// The forms of a webhook, and its secret, which is shown once.
import { html, useState } from './html.js';
import { api } from './api.js';
import { t } from './i18n.js';
import { Badge, Button, Checkbox, Copyable, Dialog, ErrorNote, Field, Note, SelectField, TextField } from './kit.js';
import { useAction, usePolled } from './live.js';

/** Everything a webhook can be told of (docs/webhooks in docs/api.md; tests/unit/test_web_pages.py holds the two together). */
export const EVENTS = [
  'message', 'message.any', 'message.ack', 'message.reaction', 'message.edited', 'message.revoked',
  'group.join', 'group.leave', 'group.participants', 'group.update', 'call.received', 'session.status',
];

/** How its endpoint fares, in a word. */
export function Endpoint({ webhook }) {
  if (!webhook.enabled) return html`<${Badge} tone="idle" icon="pause">${t('webhooks.off')}<//>`;
  const { state } = webhook.endpoint;
  return html`<${Badge} tone=${{ good: 'good', failing: 'warn', resting: 'bad' }[state] ?? 'idle'}>${t(`webhooks.endpoint.${state}`)}<//>`;
}

/** A new webhook, or changes of one. `onDone` gets the API's answer. */
export function WebhookForm({ webhook = null, onDone, onClose }) {
  const sessions = usePolled(() => api.get('/api/sessions'), null);
  const [url, setUrl] = useState(webhook?.url ?? '');
  const [all, setAll] = useState(webhook?.events.includes('*') ?? false);
  const [events, setEvents] = useState(webhook?.events.filter((one) => one !== '*') ?? ['message', 'message.ack', 'session.status']);
  const [session, setSession] = useState('');
  const [headers, setHeaders] = useState('');
  const save = useAction(async () => {
    const body = { url: url.trim(), events: all ? ['*'] : events };
    if (headers.trim()) body.headers = headersOf(headers);
    if (!webhook && session) body.session_id = session;
    await onDone(webhook ? await api.patch(`/api/webhooks/${webhook.webhook_id}`, body) : await api.post('/api/webhooks', body));
  });
  const submit = (event) => {
    event.preventDefault();
    save.run();
  };
  const others = events.filter((one) => !EVENTS.includes(one)); // of a newer server: kept as they are
  return html`<${Dialog} title=${t(webhook ? 'webhooks.edit' : 'webhooks.add')} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <${TextField} label=${t('webhooks.url')} hint=${t('webhooks.url.hint')} type="url" value=${url} onValue=${setUrl} required placeholder="https://example.com/keepline" />
      ${!webhook && html`<${SelectField} label=${t('webhooks.session')} value=${session} onValue=${setSession}
        options=${[['', t('webhooks.session.all')], ...(sessions.data?.sessions ?? []).map(({ session_id: id }) => [id, id])]} />`}
      <fieldset><legend>${t('webhooks.events')}</legend><div class="stack tight">
        <${Checkbox} label=${html`<span class="strong">${t('webhooks.events.all')}</span>`} checked=${all} onValue=${setAll} />
        ${!all && [...EVENTS, ...others].map((one) => html`<${Checkbox} label=${html`<code>${one}</code> <span class="quiet">${EVENTS.includes(one) ? t(`webhooks.event.${one}`) : ''}</span>`} checked=${events.includes(one)}
          onValue=${(on) => setEvents(on ? [...events, one] : events.filter((other) => other !== one))} />`)}
      </div></fieldset>
      <${Field} label=${t('webhooks.headers')} hint=${t(webhook ? 'webhooks.headers.edit' : 'webhooks.headers.hint')}>
        ${(given) => html`<textarea rows="2" autocomplete="off" spellcheck="false" placeholder="Authorization: Bearer …" value=${headers} onInput=${(event) => setHeaders(event.target.value)} ...${given}></textarea>`}
      <//>
      <${ErrorNote} error=${save.error} />
      <div class="actions"><${Button} onClick=${onClose}>${t('action.cancel')}<//><${Button} kind="main" type="submit" busy=${save.busy} disabled=${!url.trim() || (!all && events.length === 0)}>${t('action.save')}<//></div>
    </form>
  <//>`;
}

/** One header a line, as `Name: value`. */
function headersOf(text) {
  const lines = text.split('\n').filter((line) => line.trim());
  return Object.fromEntries(lines.map((line) => {
    const [name, ...value] = line.split(':');
    return [name.trim(), value.join(':').trim()];
  }));
}

export function Secret({ secret, onClose }) {
  return html`<${Dialog} title=${t('webhooks.secret')} onClose=${onClose}>
    <${Note} tone="warn">${t('webhooks.secret.once')}<//>
    <${Copyable} text=${secret} label=${t('webhooks.secret.copy')} />
    <p class="small quiet">${t('webhooks.secret.use')}</p>
    <div class="actions"><${Button} kind="main" onClick=${onClose}>${t('action.kept')}<//></div>
  <//>`;
}
