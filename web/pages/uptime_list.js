// Every target with its state now and its last 90 days.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { duration, number, t } from '../app/i18n.js';
import { Button, Card, Empty, ErrorNote, Loading, Note, PageHead, toast } from '../app/kit.js';
import { useFollowed } from '../app/followed.js';
import { usePolled } from '../app/live.js';
import { to } from '../app/router.js';
import { NinetyDays, TARGETS, TargetForm, markOf, share } from '../app/uptime_kit.js';
import { TargetState } from '../app/watch_kit.js';

const DAYS_EVERY_MS = 60_000;
const FORGOTTEN_MS = 150_000; // a run each minute; after two that did not come, something is wrong with the schedule

export default function UptimeList() {
  const { data, error, refresh } = useFollowed(() => api.get('/api/uptime'), TARGETS, markOf);
  const [adding, setAdding] = useState(false);
  const targets = [...(data?.targets ?? [])].sort((a, b) => ORDER[a.state] - ORDER[b.state] || a.name.localeCompare(b.name));
  const wrong = targets.filter((one) => one.state === 'down').length;
  const late = data?.watched_until ? new Date(data.at) - new Date(data.watched_until) : 0;
  const done = async () => {
    setAdding(false);
    toast(t('action.saved'));
    await refresh();
  };
  return html`
    <${PageHead} title=${t('nav.uptime')} lead=${t('uptime.lead')} actions=${html`<${Button} kind="main" icon="plus" onClick=${() => setAdding(true)}>${t('uptime.add')}<//>`} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && targets.length === 0 && html`<${Card}><${Empty} icon="pulse" title=${t('uptime.empty')}>${t('uptime.empty.text')}<//><//>`}
    ${targets.length > 0 && html`<${Note} tone=${wrong ? 'bad' : 'good'} live>${wrong ? t('uptime.some_down', { n: wrong }) : t('uptime.all_up', { n: targets.length })}<//>`}
    ${late > FORGOTTEN_MS && html`<${Note} tone="warn">${t('uptime.late', { time: duration(late / 1000) })}<//>`}
    <div class="stack">${targets.map((one) => html`<${Target} key=${one.target_id} one=${one} />`)}</div>
    ${adding && html`<${TargetForm} onDone=${done} onClose=${() => setAdding(false)} />`}`;
}

const ORDER = { down: 0, degraded: 1, unknown: 2, up: 3 };

function Target({ one }) {
  const { data, error } = usePolled(() => api.get(`/api/uptime/${encodeURIComponent(one.target_id)}`), DAYS_EVERY_MS, [one.state]);
  return html`<${Card} title=${html`<a href=${to('uptime', one.target_id)}>${one.name}</a>`} actions=${html`<${TargetState} state=${one.state} />`}>
    <div class="stack tight">
      <p class="small quiet">${[
    !one.enabled && t('uptime.disabled'), one.state !== 'up' && one.reason.sentence, one.response_ms !== null && t('webhooks.ms', { ms: number(one.response_ms) }),
    one.uptime.quarter && t('uptime.share_90', { share: share(one.uptime.quarter.uptime) }), one.degrading_since && t('uptime.degrading'),
  ].filter(Boolean).join(' · ')}</p>
      ${data ? html`<${NinetyDays} name=${one.name} days=${data.days} />` : error ? html`<${ErrorNote} error=${error} />` : html`<${Loading} />`}
    </div>
  <//>`;
}
