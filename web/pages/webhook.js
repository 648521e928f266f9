// One webhook: its settings, how its endpoint fares, the log of what was delivered with each try's answer, and replay.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { number, t } from '../app/i18n.js';
import { Badge, Button, Card, Confirm, Empty, ErrorNote, Loading, Note, PageHead, Tabs, Time, toast } from '../app/kit.js';
import { useAction, usePolled } from '../app/live.js';
import { usePages } from '../app/paging.js';
import { go, replace, to } from '../app/router.js';
import { Older } from '../app/watch_kit.js';
import { Endpoint, Secret, WebhookForm } from '../app/webhook_forms.js';
import { ReplayRange } from '../app/webhook_replay.js';

const EVERY_MS = 3_000;
const STATES = ['all', 'pending', 'delivered', 'dead'];

export default function Webhook({ id, query }) {
  const path = `/api/webhooks/${encodeURIComponent(id)}`;
  const { data, error, refresh } = usePolled(() => api.get(path), EVERY_MS, [path]);
  const [dialog, setDialog] = useState(null); // 'edit' | 'rotate' | 'delete'
  const [secret, setSecret] = useState(null);
  const test = useAction(async () => {
    const { delivered, status, error: why, duration_ms: ms } = await api.post(`${path}/test`);
    toast(delivered ? t('webhooks.test.good', { status, ms }) : t('webhooks.test.bad', { answer: status ?? why }), delivered ? 'good' : 'bad');
  });
  const toggle = useAction(async () => {
    await api.patch(path, { enabled: !data.enabled });
    await refresh();
  });
  const done = async () => {
    setDialog(null);
    toast(t('action.saved'));
    await refresh();
  };
  const close = () => setDialog(null);
  const actions = data && html`
    <${Button} small icon="send" busy=${test.busy} onClick=${test.run}>${t('webhooks.test')}<//>
    <${Button} small icon="edit" onClick=${() => setDialog('edit')}>${t('action.edit')}<//>`;
  return html`
    <p><a class="row tight" href=${to('webhooks')}>${t('webhooks.back')}</a></p>
    <${PageHead} title=${html`<span class="break">${data?.url ?? t('nav.webhooks')}</span>`} actions=${actions} />
    <${ErrorNote} error=${error ?? test.error ?? toggle.error} retry=${error && refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Card} title=${t('webhooks.settings')} actions=${html`<${Endpoint} webhook=${data} />`}><div class="stack">
      ${data.disabled && html`<${Note} tone="bad" title=${data.disabled.sentence}><p>${data.disabled.next_step}</p><//>`}
      ${data.enabled && data.endpoint.state !== 'good' && html`<${Note} tone="warn">${t(`webhooks.endpoint.${data.endpoint.state}.text`, { n: data.endpoint.failures, most: data.endpoint.failures_before_rest })} ${data.endpoint.rests_until && html`<${Time} at=${data.endpoint.rests_until} />`}<//>`}
      <dl class="facts">
        <dt>${t('webhooks.session')}</dt><dd>${data.session_id ?? t('webhooks.session.all')}</dd>
        <dt>${t('webhooks.events')}</dt><dd>${data.events.includes('*') ? t('webhooks.events.all') : data.events.map((one) => html`<code>${one}</code> `)}</dd>
        ${data.headers.length > 0 && html`<dt>${t('webhooks.headers')}</dt><dd>${data.headers.map((one) => html`<code>${one}</code> `)}</dd>`}
        <dt>${t('webhooks.made')}</dt><dd><${Time} at=${data.created_at} /></dd>
      </dl>
      <div class="row tight">
        <${Button} small busy=${toggle.busy} icon=${data.enabled ? 'pause' : 'play'} onClick=${toggle.run}>${t(data.enabled ? 'webhooks.switch_off' : 'webhooks.switch_on')}<//>
        <${Button} small icon="key" onClick=${() => setDialog('rotate')}>${t('webhooks.rotate')}<//>
        <${Button} small kind="danger" icon="trash" onClick=${() => setDialog('delete')}>${t('action.delete')}<//>
      </div>
    </div><//>
    <${Log} id=${id} path=${path} state=${STATES.includes(query.state) ? query.state : 'all'} />`}
    ${dialog === 'edit' && html`<${WebhookForm} webhook=${data} onDone=${done} onClose=${close} />`}
    ${dialog === 'rotate' && html`<${Confirm} title=${t('webhooks.rotate')} action=${t('webhooks.rotate')} onClose=${close}
      act=${async () => setSecret((await api.post(`${path}/rotate-secret`)).secret)}>${t('webhooks.rotate.text')}<//>`}
    ${dialog === 'delete' && html`<${Confirm} title=${t('webhooks.delete')} action=${t('action.delete')} onClose=${close}
      act=${async () => { await api.delete(path); go('webhooks'); }}>${t('webhooks.delete.text')}<//>`}
    ${secret && html`<${Secret} secret=${secret} onClose=${() => setSecret(null)} />`}`;
}

function Log({ id, path, state }) {
  const page = async (before) => {
    const answer = await api.get(`${path}/deliveries`, { state: state === 'all' ? '' : state, before });
    return { rows: answer.deliveries, next: answer.next_before };
  };
  const { data, error, refresh } = usePolled(() => page(), EVERY_MS, [path, state]);
  const { rows, more, older } = usePages(data, page, (one) => one.event_id, [path, state]);
  const [range, setRange] = useState(false);
  const [asking, setAsking] = useState(false);
  const again = useAction(async (events) => {
    const { replayed } = await api.post(`${path}/replay`, events ? { events } : {});
    toast(t('webhooks.replayed', { n: replayed }));
    await refresh();
  });
  return html`<${Card} flush title=${t('webhooks.log')} actions=${html`<${Button} small icon="refresh" onClick=${() => setAsking(true)}>${t('webhooks.replay.all')}<//><${Button} small icon="clock" onClick=${() => setRange(true)}>${t('webhooks.replay.range')}<//>`}>
    <${Tabs} label=${t('webhooks.log.filter')} value=${state} onValue=${(one) => replace('webhooks', id, { state: one === 'all' ? '' : one })} tabs=${STATES.map((one) => [one, t(`webhooks.log.${one}`)])} />
    <${ErrorNote} error=${error ?? again.error} retry=${error && refresh} />
    ${!data && !error && html`<div class="pad"><${Loading} /></div>`}
    ${data && rows.length === 0 && html`<${Empty} icon="list" title=${t('webhooks.log.empty')}>${t('webhooks.log.empty.text')}<//>`}
    <ul class="entries">${rows.map((one) => html`<${Delivery} key=${one.event_id} one=${one} busy=${again.busy} onReplay=${() => again.run([one.event_id])} />`)}</ul>
    <${Older} more=${more} older=${older} />
    ${range && html`<${ReplayRange} path=${path} onDone=${refresh} onClose=${() => setRange(false)} />`}
    ${asking && html`<${Confirm} title=${t('webhooks.replay.all')} action=${t('webhooks.replay')} onClose=${() => setAsking(false)}
      act=${async () => { const { replayed } = await api.post(`${path}/replay`, {}); toast(t('webhooks.replayed', { n: replayed })); await refresh(); }}>${t('webhooks.replay.all.text')}<//>`}
  <//>`;
}

const TONES = { pending: ['info', 'clock'], delivered: ['good', 'check'], dead: ['bad', 'cross'] };

function Delivery({ one, busy, onReplay }) {
  const [tone, icon] = TONES[one.state] ?? ['idle', 'question'];
  const last = one.tries.at(-1);
  return html`<li>
    <span class="lead"><${Badge} tone=${tone} icon=${icon}>${t(`webhooks.log.one.${one.state}`)}<//></span>
    <div class="what">
      <p><code>${one.type}</code> ${last && html`<span class="quiet">${answerOf(last)}</span>`}</p>
      <p class="small quiet">${[one.session_id, one.chat].filter(Boolean).join(' · ')}</p>
      <details class="as-table"><summary>${t('webhooks.tries', { n: one.attempts })}</summary>
        <p class="small quiet break"><code>${one.event_id}</code></p>
        <ol class="stack tight small">${one.tries.map((attempt) => html`<li><${Time} at=${attempt.at} full /> · ${answerOf(attempt)} · ${t('webhooks.ms', { ms: number(attempt.duration_ms) })}</li>`)}</ol>
      </details>
    </div>
    <span class="when"><${Time} at=${one.queued_at} /></span>
    ${one.state === 'dead' && html`<${Button} small icon="refresh" disabled=${busy} onClick=${onReplay}>${t('webhooks.replay')}<//>`}
  </li>`;
}

/** The status, or why there was none. */
function answerOf({ status, error }) {
  return status === null ? t(`webhooks.error.${error}`) : t('webhooks.status', { status: String(status) });
}
