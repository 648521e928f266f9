// What has not arrived: what waits, what is in doubt, dead letters to replay, and what ended otherwise.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { t } from '../app/i18n.js';
import { Button, Card, Confirm, Empty, ErrorNote, Loading, MessageState, Note, PageHead, Table, Tabs, Time, toast } from '../app/kit.js';
import { useAction, useLive, usePolled } from '../app/live.js';
import { chatName, inShort, ofApi, ofRow } from '../app/messages.js';
import { accountOf, sentFrom } from '../app/queries.js';
import { replace, to } from '../app/router.js';
import { useUser } from '../app/session.js';
import { NoSession, SessionChoice, useSessions } from '../app/session_choice.js';

const VIEWS = { waiting: ['queued', 'in_doubt'], dead: ['failed'], ended: ['expired', 'cancelled'], sent: ['sent', 'delivered', 'read', 'played'] };
const ROWS_MAX = 100;

export default function Queue({ parts: [sessionId], query }) {
  const { sessions, session, loading, error, refresh } = useSessions(sessionId);
  const view = query.view in VIEWS ? query.view : 'waiting';
  return html`
    <${PageHead} title=${t('queue.title')} lead=${t('queue.lead')} actions=${session && html`<${SessionChoice} page="queue" sessions=${sessions} session=${session} />`} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${loading && sessions.length === 0 && html`<${Loading} />`}
    ${!loading && !error && !session && html`<${NoSession} sessions=${sessions} page="queue" />`}
    ${session && html`
      ${session.queue.held && html`<${Note} tone="warn" title=${session.queue.held.sentence}>${session.queue.held.next_step} <${Time} at=${session.queue.held.until} /><//>`}
      <${Tabs} label=${t('queue.title')} value=${view} onValue=${(next) => replace('queue', session.session_id, { view: next })} tabs=${Object.keys(VIEWS).map((one) => [one, t(`queue.view.${one}`)])} />
      <${Rows} key=${session.session_id + view} session=${session} view=${view} />`}`;
}

function Rows({ session, view }) {
  const account = accountOf(useUser().id, session.session_id);
  const { rows, loading, error } = useLive(sentFrom(account, { states: VIEWS[view], limit: ROWS_MAX }));
  const [searched, setSearched] = useState('');
  const [all, setAll] = useState(false);
  const known = useErrors(session.session_id, view, rows);
  const messages = rows.map(ofRow).map((one) => ({ ...one, error: known[one.id]?.error ?? null }))
    .filter((one) => `${one.chat} ${inShort(one)} ${one.errorCode ?? ''}`.toLowerCase().includes(searched.toLowerCase()));
  const replayAll = async () => {
    for (const message of messages) await api.post(`/api/messages/${message.id}/replay`);
    toast(t('queue.replayed_all', { n: messages.length }));
  };
  return html`<div class="stack" aria-live="polite">
    <${ErrorNote} error=${error} />
    ${loading ? html`<${Loading} />` : rows.length === 0 ? html`<${Card}><${Empty} icon="check" title=${t(`queue.empty.${view}`)} /><//>` : html`
      <div class="row apart">
        <label class="grow search"><span class="seen-by-readers-only">${t('queue.search')}</span><input class="input" type="search" placeholder=${t('queue.search')} value=${searched} onInput=${(event) => setSearched(event.target.value)} /></label>
        ${view === 'dead' && messages.length > 1 && html`<${Button} icon="refresh" onClick=${() => setAll(true)}>${t('queue.replay_all', { n: messages.length })}<//>`}
      </div>
      <${Card} flush>${messages.length === 0 ? html`<${Empty} icon="search" title=${t('queue.nothing_found')} />` : html`<${Table} label=${t(`queue.view.${view}`)} rows=${messages} rowKey=${(row) => row.id} columns=${[
        { label: t('queue.message'), cell: (row) => html`<span class="break" data-message=${row.id}>${inShort(row)}</span>` },
        { label: t('queue.to'), cell: (row) => html`<a class="nowrap" href=${to('chats', session.session_id, row.chat)}>${chatName(row.chat)}</a>` },
        { label: t('queue.state'), cell: (row) => html`<${MessageState} state=${row.state} /><${Why} message=${row} />` },
        { label: t('queue.accepted'), cell: (row) => html`<${Time} at=${row.at} />${row.state === 'scheduled' && html`<p class="small quiet">${t('queue.leaves')} <${Time} at=${row.sendAt} /></p>`}` },
        { label: '', end: true, cell: (row) => html`<${Act} message=${row} />` },
      ]} />`}<//>
      ${rows.length === ROWS_MAX && html`<p class="quiet small">${t('queue.newest_only', { n: ROWS_MAX })}</p>`}`}
    ${all && html`<${Confirm} title=${t('queue.replay_all', { n: messages.length })} action=${t('queue.replay')} act=${replayAll} onClose=${() => setAll(false)}>${t('queue.replay_all.text')}<//>`}
  </div>`;
}

/** Why messages failed, in the API's words, which rows do not have. */
function useErrors(sessionId, view, rows) {
  const ids = rows.map((row) => row.id).join();
  const ask = async () => {
    if (!rows.length) return {};
    if (view === 'dead') return byId((await api.get('/api/dead-letters', { session_id: sessionId, limit: ROWS_MAX })).dead_letters);
    const doubtful = rows.filter((row) => row.error_code);
    return byId(await Promise.all(doubtful.slice(0, 20).map((row) => api.get(`/api/messages/${row.id}`))));
  };
  const { data } = usePolled(ask, null, [sessionId, view, ids]);
  return data ?? {};
}

const byId = (found) => Object.fromEntries(found.map((one) => [one.message_id, ofApi(one)]));

function Why({ message }) {
  if (message.state === 'in_doubt') return html`<p class="small quiet">${t('queue.in_doubt')}</p>`;
  if (!message.error) return message.errorCode && html`<p class="small quiet"><code>${message.errorCode}</code></p>`;
  return html`<p class="small">${message.error.message}</p><p class="small quiet">${message.error.hint} <code>${message.error.code}</code></p>`;
}

function Act({ message }) {
  const act = useAction(async (what, said) => {
    await api.post(`/api/messages/${message.id}/${what}`);
    toast(said);
  });
  const button = message.state === 'failed' ? html`<${Button} small icon="refresh" busy=${act.busy} onClick=${() => act.run('replay', t('queue.replayed'))}>${t('queue.replay')}<//>`
    : ['queued', 'scheduled'].includes(message.state) ? html`<${Button} small kind="danger" icon="ban" busy=${act.busy} onClick=${() => act.run('cancel', t('queue.cancelled'))}>${t('queue.cancel')}<//>` : null;
  return html`<div class="row actions">${button}</div><${ErrorNote} error=${act.error} />`;
}
