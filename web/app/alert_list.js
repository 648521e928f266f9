// Alerts that are open, or were: with what to do, and a button for whoever takes care of one.
import { html } from './html.js';
import { api } from './api.js';
import { fullTime, has, t } from './i18n.js';
import { useFollowed } from './followed.js';
import { Badge, Button, Card, Empty, ErrorNote, Loading, Time, toast } from './kit.js';
import { useAction } from './live.js';
import { usePages } from './paging.js';
import { to } from './router.js';
import { Older, Severity } from './watch_kit.js';

/** state: 'open' | 'closed'; of: what the query says besides, `{ installation: 'true' }` for the installation's. */
export function AlertList({ state, of }) {
  const page = async (before) => {
    const answer = await api.get('/api/alerts', { state, before, ...of });
    return { rows: answer.alerts, next: answer.next_before };
  };
  const open = { collection: 'alerts', everybody: Boolean(of.installation), where: [['state', '==', 'open']], order: [['opened_at', 'desc']] };
  const { data, error, refresh } = useFollowed(() => page(), open, (row) => [row.id, row.acknowledged_at], [state]);
  const { rows, more, older } = usePages(data, page, (one) => one.alert_id, [state]);
  return html`
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && rows.length === 0 && html`<${Card}><${Empty} icon="check" title=${t(`alerts.empty.${state}`)}>${t(`alerts.empty.${state}.text`)}<//><//>`}
    ${rows.length > 0 && html`<${Card} flush><ul class="entries">${rows.map((one) => html`<${Alert} key=${one.alert_id} one=${one} of=${of} refresh=${refresh} />`)}</ul><//>`}
    <${Older} more=${more} older=${older} />`;
}

/** Where one sees what the alert is about. */
const whereOf = ({ rule, session_id: id }) => (rule === 'dead_letters' ? to('queue', id, { view: 'dead' }) : to('overview', id));

function Alert({ one, of, refresh }) {
  const take = useAction(async () => {
    await api.post(`/api/alerts/${encodeURIComponent(one.alert_id)}/acknowledge${of.installation ? '?installation=true' : ''}`);
    toast(t('alerts.acknowledged'));
    await refresh();
  });
  const rule = has(`alert.rule.${one.rule}`) ? t(`alert.rule.${one.rule}`) : one.rule;
  return html`<li>
    <span class="lead"><${Severity} of=${one.severity} /></span>
    <div class="what stack tight">
      <p><span class="strong">${rule}</span> ${one.session_id && html`<span class="quiet">· <a href=${whereOf(one)}>${one.session_id}</a></span>`}</p>
      <p>${one.sentence}</p>
      ${one.state === 'open' && html`<p class="small"><span class="strong">${t('alerts.do')}</span> ${one.next_step}</p>`}
      <p class="small quiet">${one.state === 'open' ? html`${t('alerts.since')} <${Time} at=${one.opened_at} /> · ${t('alerts.seen')} <${Time} at=${one.last_seen_at} />` : t('alerts.from_until', { from: fullTime(new Date(one.opened_at)), until: fullTime(new Date(one.closed_at)) })}</p>
      <${ErrorNote} error=${take.error} />
    </div>
    ${one.acknowledged_at && html`<${Badge} tone="info" icon="user">${t('alerts.taken')}<//>`}
    ${one.state === 'open' && !one.acknowledged_at && html`<${Button} small icon="check" busy=${take.busy} onClick=${take.run}>${t('alerts.acknowledge')}<//>`}
  </li>`;
}
