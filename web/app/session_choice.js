// Which session a page is about: the one in the address, else the first that there is.
import { html } from './html.js';
import { api } from './api.js';
import { t } from './i18n.js';
import { Button, Card, Empty } from './kit.js';
import { usePolled } from './live.js';
import { phone } from './messages.js';
import { go, to } from './router.js';

const EVERY_MS = 2_000;

/** `{ sessions, session, loading, error, refresh }`; session is null if there is none of that name. */
export function useSessions(id) {
  const { data, ...rest } = usePolled(() => api.get('/api/sessions'), EVERY_MS);
  const sessions = data?.sessions ?? [];
  return { ...rest, sessions, session: id ? sessions.find((one) => one.session_id === id) ?? null : sessions[0] ?? null };
}

/** A select that goes to the same page of another session. Nothing if there is no other. */
export function SessionChoice({ page, sessions, session }) {
  if (sessions.length < 2 && session) return null;
  return html`<label class="row tight"><span class="seen-by-readers-only">${t('session.choice')}</span>
    <select class="input" value=${session?.session_id} onChange=${(event) => go(page, event.target.value)}>
      ${!session && html`<option value="" selected disabled>${t('session.choice')}</option>`}
      ${sessions.map((one) => html`<option value=${one.session_id} selected=${one.session_id === session?.session_id}>${one.session_id}${one.phone ? ` · ${phone(one.phone)}` : ''}</option>`)}
    </select></label>`;
}

/** Instead of a page's content: the address names no session that there is, or there is none at all. */
export function NoSession({ sessions, page }) {
  if (sessions.length) return html`<${Card}><${Empty} icon="phone" title=${t('session.none.title')} actions=${html`<${SessionChoice} page=${page} sessions=${sessions} session=${null} />`}>${t('session.none.others')}<//><//>`;
  return html`<${Card}><${Empty} icon="phone" title=${t('overview.empty.title')} actions=${html`<${Button} kind="main" icon="plus" href=${to('link')}>${t('overview.add')}<//>`}>${t('session.none.text')}<//><//>`;
}
