// The log of events: what happened to sessions and, for operators, to the whole installation.
import { html } from '../app/html.js';
import { api } from '../app/api.js';
import { dayName, clockTime, has, t } from '../app/i18n.js';
import { Card, Empty, ErrorNote, Loading, PageHead, SelectField, TextField } from '../app/kit.js';
import { useFollowed } from '../app/followed.js';
import { usePolled } from '../app/live.js';
import { usePages } from '../app/paging.js';
import { replace } from '../app/router.js';
import { useUser } from '../app/session.js';
import { Older, Severity } from '../app/watch_kit.js';

const HOUR_MS = 3_600_000;
const SINCE_HOURS = { hour: 1, day: 24, week: 168 };
const KINDS = [
  'session_state', 'session_disconnected', 'session_reconnected', 'session_banned', 'session_outdated', 'session_logged_out', 'restore_failed',
  'device_moved', 'send_right_moved', 'rate_signal', 'doubt', 'dead_letter', 'alert_opened', 'alert_closed', 'notifier_failed',
];
const OF_OPERATORS = [
  'connector_silent', 'connector_back', 'outage_began', 'outage_ended', 'target_degrading', 'run_missed',
  'recovery_started', 'recovery_step', 'recovered', 'recovery_failed', 'recovery_advised',
];

export default function Events({ query }) {
  const user = useUser();
  const sessions = usePolled(() => api.get('/api/sessions'), null);
  const { kind = '', session = '', since = '' } = query;
  const all = user.operator && query.all === 'true';
  const choose = (changes) => replace('events', { kind, session, since, all: all ? 'true' : '', ...changes });
  const page = async (before) => {
    const from = SINCE_HOURS[since] ? new Date(Date.now() - SINCE_HOURS[since] * HOUR_MS).toISOString() : '';
    const answer = await api.get('/api/monitoring', { kind, session_id: session, since: from, before, all: all ? 'true' : '' });
    return { rows: answer.events, next: answer.next_before };
  };
  const needs = [kind, session, since, all];
  const newest = { collection: 'monitoring', everybody: all, order: [['at', 'desc']], limit: 1 };
  const { data, error, refresh } = useFollowed(() => page(), newest, (row) => row.id, needs);
  const { rows, more, older } = usePages(data, page, (one) => one.event_id, needs);
  const kinds = user.operator ? [...KINDS, ...OF_OPERATORS] : KINDS;
  return html`
    <${PageHead} title=${t('nav.events')} lead=${t('events.lead')} />
    <div class="filters">
      ${user.operator && html`<${SelectField} label=${t('events.whose')} value=${all ? 'all' : 'own'} onValue=${(one) => choose({ all: one === 'all' ? 'true' : '' })} options=${[['own', t('whose.own')], ['all', t('events.everything')]]} />`}
      <${SelectField} label=${t('events.kind')} value=${kind} onValue=${(one) => choose({ kind: one })} options=${[['', t('events.any_kind')], ...kinds.map((one) => [one, kindName(one)])]} />
      ${all ? html`<${TextField} label=${t('events.session')} value=${session} onValue=${(one) => choose({ session: one.trim() })} />`
    : html`<${SelectField} label=${t('events.session')} value=${session} onValue=${(one) => choose({ session: one })} options=${[['', t('events.any_session')], ...(sessions.data?.sessions ?? []).map(({ session_id: id }) => [id, id])]} />`}
      <${SelectField} label=${t('events.since')} value=${since} onValue=${(one) => choose({ since: one })} options=${[['', t('events.since.any')], ...Object.keys(SINCE_HOURS).map((one) => [one, t(`events.since.${one}`)])]} />
    </div>
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && rows.length === 0 && html`<${Card}><${Empty} icon="list" title=${t('events.empty')}>${t('events.empty.text')}<//><//>`}
    ${byDay(rows).map(([day, events]) => html`<${Card} key=${day} flush title=${day}><ul class="entries">${events.map((one) => html`<${Entry} key=${one.event_id} one=${one} whose=${all} />`)}</ul><//>`)}
    <${Older} more=${more} older=${older} />`;
}

function kindName(kind) {
  return has(`event.${kind}`) ? t(`event.${kind}`) : kind;
}

function byDay(rows) {
  const days = new Map();
  for (const row of rows) {
    const day = dayName(new Date(row.at));
    days.set(day, [...(days.get(day) ?? []), row]);
  }
  return [...days];
}

function Entry({ one, whose }) {
  const at = new Date(one.at);
  return html`<li>
    <span class="lead"><${Severity} of=${one.severity} /></span>
    <div class="what">
      <p>${one.sentence}</p>
      <p class="small quiet">${[kindName(one.kind), whose && (one.user_id ?? t('events.installation')), one.session_id ?? one.subject].filter(Boolean).join(' · ')}${one.code && one.code !== one.kind && html` · <code>${one.code}</code>`}</p>
      ${one.severity !== 'info' && one.next_step && html`<p class="small">${one.next_step}</p>`}
    </div>
    <time class="when numbers" datetime=${one.at} title=${one.at}>${clockTime(at)}</time>
  </li>`;
}
