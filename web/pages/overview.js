// Every number with its true state, why it is so, and what to do. The state is the API's, which knows how old the evidence is.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { duration, number, t } from '../app/i18n.js';
import { Icon } from '../app/icons.js';
import { Badge, Button, Card, Confirm, Empty, ErrorNote, Loading, Note, PageHead, SessionState, Table, Time, toast } from '../app/kit.js';
import { useAction, usePolled } from '../app/live.js';
import { phone } from '../app/messages.js';
import { to } from '../app/router.js';

const EVERY_MS = 2_000; // a broken connection has to show within 5 s

export default function Overview({ parts }) {
  return parts[0] ? html`<${OneSession} key=${parts[0]} id=${parts[0]} />` : html`<${AllSessions} />`;
}

function AllSessions() {
  const { data, loading, error, refresh } = usePolled(() => api.get('/api/sessions'), EVERY_MS);
  const add = html`<${Button} kind="main" icon="plus" href=${to('link')}>${t('overview.add')}<//>`;
  const sessions = data?.sessions ?? [];
  return html`
    <${PageHead} title=${t('nav.overview')} lead=${t('overview.lead')} actions=${sessions.length > 0 && add} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${loading && !data && html`<${Loading} />`}
    ${data && sessions.length === 0 && html`<${Card}><${Empty} icon="phone" title=${t('overview.empty.title')} actions=${add}>${t('overview.empty.text')}<//><//>`}
    ${sessions.length > 0 && html`<${Counts} sessions=${sessions} /><ul class="grid">${sessions.map((session) => html`<li key=${session.session_id}><${SessionCard} session=${session} changed=${refresh} /></li>`)}</ul>`}`;
}

function Counts({ sessions }) {
  const connected = sessions.filter((one) => one.state === 'connected').length;
  const standby = sessions.filter((one) => one.standby.state === 'ready').length;
  const waiting = sessions.reduce((sum, one) => sum + one.queue.queued, 0);
  const counts = [
    ['overview.count.numbers', sessions.length], ['overview.count.connected', connected], ['overview.count.attention', sessions.filter(needsSomebody).length],
    ['overview.count.standby', standby], ['overview.count.waiting', waiting],
  ];
  return html`<dl class="counts">${counts.map(([key, n]) => html`<div><dt>${t(key)}</dt><dd class="numbers">${number(n)}</dd></div>`)}</dl>`;
}

const needsSomebody = (session) => !['connected', 'starting', 'reconnecting'].includes(session.state);

function SessionCard({ session, changed }) {
  const [deleting, setDeleting] = useState(false);
  return html`<article class="card session" data-session=${session.session_id} data-state=${session.state}>
    <div class="row apart"><h2><a href=${to('overview', session.session_id)}>${session.session_id}</a></h2><${SessionState} state=${session.state} /></div>
    <p class="quiet numbers">${session.phone ? phone(session.phone) : t('overview.not_linked')}</p>
    <${Why} session=${session} />
    <ul class="stack tight small">
      ${session.devices.map((device) => html`<li class="row tight"><span class="slot">${t(`overview.slot.${device.slot}`)}</span><${SessionState} state=${device.state} /><span class="quiet">${device.region ?? t('overview.nowhere')}</span></li>`)}
      ${session.devices.length < 2 && session.phone && html`<${StandbyLine} session=${session} />`}
    </ul>
    <${Queue} queue=${session.queue} id=${session.session_id} />
    <div class="row tight foot">
      ${session.phone && html`<${Button} small icon="chat" href=${to('chats', session.session_id)}>${t('nav.chats')}<//>`}
      <${NextButton} session=${session} changed=${changed} />
      <span class="grow"></span>
      <${Button} small kind="plain" icon="trash" label=${t('overview.delete', { id: session.session_id })} onClick=${() => setDeleting(true)} />
    </div>
    ${deleting && html`<${Deleting} id=${session.session_id} changed=${changed} onClose=${() => setDeleting(false)} />`}
  </article>`;
}

/** The reason, the next step, and how old the proof is. */
function Why({ session }) {
  const fine = session.state === 'connected';
  return html`<div>
    <p>${session.reason.sentence}</p>
    ${!fine && html`<p class="next"><${Icon} name="forward" />${session.reason.next_step}</p>`}
    ${session.evidence && html`<p class="small quiet numbers">${t('overview.evidence', { age: duration(session.evidence.age_ms / 1000), kind: t(`evidence.${session.evidence.kind}`) })}${session.evidence.quality !== null && ` · ${t('overview.quality', { quality: number(session.evidence.quality) })}`}</p>`}
  </div>`;
}

function StandbyLine({ session }) {
  const offered = ['none', 'offered'].includes(session.standby.state);
  return html`<li class="row tight"><span class="slot">${t('overview.slot.b')}</span><${Badge} icon="shield">${t(`standby.${session.standby.state}`)}<//>
    ${offered && html`<a href=${to('link', session.session_id)}>${t('overview.add_standby')}</a>`}</li>`;
}

function Queue({ queue, id }) {
  if (queue.queued === 0) return null;
  return html`<div class="stack tight small">
    <p class="numbers"><a href=${to('queue', id)}>${t('overview.queued', { n: queue.queued })}</a>${queue.oldest_s !== null && html` <span class="quiet">· ${t('overview.oldest', { age: duration(queue.oldest_s) })}</span>`}</p>
    ${queue.held && html`<${Note} tone="warn" slim>${queue.held.sentence} ${queue.held.next_step} <${Time} at=${queue.held.until} /><//>`}
  </div>`;
}

function NextButton({ session, changed }) {
  const again = useAction(async () => {
    await api.post(`/reconnect/${session.session_id}`);
    toast(t('overview.reconnect.asked'));
    await changed();
  });
  if (!session.phone || ['pairing', 'stopped'].includes(session.state)) return html`<${Button} small kind="main" icon="link" href=${to('link', session.session_id)}>${t('overview.link')}<//>`;
  if (['reconnecting', 'degraded', 'failed'].includes(session.state)) return html`<${Button} small icon="refresh" busy=${again.busy} onClick=${again.run}>${t('overview.reconnect')}<//>${again.error && html`<${ErrorNote} error=${again.error} />`}`;
  return null;
}

function Deleting({ id, changed, onClose }) {
  const act = async () => {
    await api.delete(`/api/sessions/${id}`);
    toast(t('overview.deleted', { id }));
    await changed();
  };
  return html`<${Confirm} title=${t('overview.delete', { id })} action=${t('overview.delete.action')} act=${act} onClose=${onClose}>${t('overview.delete.text')}<//>`;
}

// One session: all that is known of it

function OneSession({ id }) {
  const { data, loading, error, refresh } = usePolled(() => api.get(`/diagnostics/${id}`), EVERY_MS, [id]);
  const session = data?.session;
  return html`
    <${PageHead} title=${id} lead=${session?.phone ? phone(session.phone) : undefined} actions=${html`<${Button} icon="back" href=${to('overview')}>${t('nav.overview')}<//>`} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${loading && !data && html`<${Loading} />`}
    ${data && html`
      <div class="grid two">
        <${SessionCard} session=${session} changed=${refresh} />
        <${Card} title=${t('overview.advice')}>
          ${data.recommendations.length === 0 ? html`<p class="row tight"><${Badge} tone="good">${t('overview.advice.none')}<//></p>` : html`<ul class="stack">${data.recommendations.map((one) => html`<li><p class="strong">${one.sentence}</p><p class="quiet">${one.next_step}</p></li>`)}</ul>`}
        <//>
      </div>
      <${Settings} session=${session} changed=${refresh} />
      <${Card} title=${t('overview.events')} flush>
        ${data.events.length === 0 ? html`<${Empty} icon="list" title=${t('overview.events.none')} />` : html`<${Table} label=${t('overview.events')} rows=${data.events} rowKey=${(row) => row.at + row.code} columns=${[
          { label: t('overview.events.at'), cell: (row) => html`<${Time} at=${row.at} />` },
          { label: t('overview.events.state'), cell: (row) => html`<${SessionState} state=${row.to} />` },
          { label: t('overview.events.why'), cell: (row) => row.sentence },
        ]} />`}
      <//>`}`;
}

const CHOICES = { pacing: ['careful', 'normal', 'off'], presence: ['unavailable', 'available'], on_doubt: ['resend', 'hold'] };

function Settings({ session, changed }) {
  const change = useAction(async (name, value) => {
    await api.patch(`/api/sessions/${session.session_id}`, { [name]: value });
    toast(t('overview.settings.saved'));
    await changed();
  });
  return html`<${Card} title=${t('overview.settings')}>
    <div class="grid">${Object.entries(CHOICES).map(([name, values]) => html`<label class="field"><span class="label">${t(`settings.${name}`)}</span>
      <select class="input" value=${session[name]} disabled=${change.busy} onChange=${(event) => change.run(name, event.target.value)}>
        ${values.map((value) => html`<option value=${value} selected=${value === session[name]}>${t(`settings.${name}.${value}`)}</option>`)}
      </select><span class="hint">${t(`settings.${name}.hint`)}</span></label>`)}</div>
    <${ErrorNote} error=${change.error} />
  <//>`;
}
