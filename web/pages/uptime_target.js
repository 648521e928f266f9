// One target: its shares and error budget, 90 days, response times, and each incident with what was done about it.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { TimeChart } from '../app/charts.js';
import { clockTime, duration, fullTime, has, number, t } from '../app/i18n.js';
import { Badge, Button, Card, Confirm, Empty, ErrorNote, Loading, Note, PageHead, Time, toast } from '../app/kit.js';
import { useFollowed } from '../app/followed.js';
import { go, to } from '../app/router.js';
import { NinetyDays, TARGETS, TargetForm, markOf, share } from '../app/uptime_kit.js';
import { Figure, TargetState } from '../app/watch_kit.js';

const SPANS = ['day', 'week', 'month', 'quarter'];
const CHART_LEAST = 2; // one point is no line

export default function UptimeTarget({ id }) {
  const path = `/api/uptime/${encodeURIComponent(id)}`;
  const { data, error, refresh } = useFollowed(() => api.get(path), TARGETS, markOf, [path]);
  const [editing, setEditing] = useState(false);
  const [leaving, setLeaving] = useState(false);
  const done = async () => {
    setEditing(false);
    toast(t('action.saved'));
    await refresh();
  };
  const actions = data && html`
    <${TargetState} state=${data.state} />
    <${Button} small icon="edit" onClick=${() => setEditing(true)}>${t('action.edit')}<//>
    ${data.kind === 'url' && html`<${Button} small kind="danger" icon="trash" onClick=${() => setLeaving(true)}>${t('action.delete')}<//>`}`;
  return html`
    <p><a class="row tight" href=${to('uptime')}>${t('uptime.back')}</a></p>
    <${PageHead} title=${html`<span class="break">${data?.name ?? t('nav.uptime')}</span>`} lead=${data?.check?.url} actions=${actions} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Shown} target=${data} />`}
    ${editing && html`<${TargetForm} target=${data} onDone=${done} onClose=${() => setEditing(false)} />`}
    ${leaving && html`<${Confirm} title=${t('uptime.delete')} action=${t('action.delete')} onClose=${() => setLeaving(false)}
      act=${async () => { await api.delete(`/api/uptime/targets/${encodeURIComponent(id)}`); go('uptime'); }}>${t('uptime.delete.text')}<//>`}`;
}

function Shown({ target }) {
  const { budget, uptime, settings } = target;
  return html`
    ${target.state !== 'up' && html`<${Note} tone=${target.state === 'down' ? 'bad' : 'warn'} title=${target.reason.sentence}><p>${target.reason.next_step}</p><//>`}
    ${target.degrading_since && html`<${Note} tone="warn">${t('uptime.degrading')} <${Time} at=${target.degrading_since} /><//>`}
    <${Card}><dl class="figures">
      ${SPANS.map((span) => html`<${Figure} name=${t(`uptime.span.${span}`)} value=${share(uptime[span]?.uptime)} hint=${uptime[span]?.outages ? t('uptime.outages_n', { n: uptime[span].outages }) : ''} />`)}
      ${budget && html`<${Figure} name=${t('uptime.budget')} value=${duration(Math.max(0, budget.left_s))} tone=${budget.left_s < 0 ? 'bad' : ''} hint=${t('uptime.budget.of', { allowed: duration(budget.allowed_s), slo: share(budget.slo), days: budget.days })} />`}
      <${Figure} name=${t('uptime.longest')} value=${target.longest_outage_s === null ? '–' : duration(target.longest_outage_s)} />
      <${Figure} name=${t('uptime.mttr')} value=${target.mttr_s === null ? '–' : duration(target.mttr_s)} />
    </dl><//>
    <${Card} title=${t('uptime.ninety')}><${NinetyDays} name=${target.name} days=${target.days} /><//>
    <${Responses} target=${target} />
    <${Card} title=${t('uptime.incidents')} flush>
      ${target.incidents.length === 0 && html`<${Empty} icon="check" title=${t('uptime.incidents.none')} />`}
      <ul class="entries">${target.incidents.map((one) => html`<${Incident} key=${one.outage_id} one=${one} />`)}</ul>
    <//>
    <p class="small quiet">${t('uptime.how', { preset: has(`uptime.preset.${settings.preset}`) ? t(`uptime.preset.${settings.preset}`) : settings.preset, interval: duration(settings.interval_s), n: settings.failures_until_down, slow: number(settings.slow_ms) })}</p>`;
}

function Responses({ target }) {
  const ms = (value) => t('webhooks.ms', { ms: number(value) });
  const recent = target.recent.filter((one) => one.response_ms !== null);
  const days = target.days.filter((day) => day.checks > 0);
  const newest = recent.at(-1);
  return html`<div class="charts">
    ${recent.length >= CHART_LEAST && html`<${Card} title=${t('uptime.recent')}>
      <${TimeChart} label=${t('uptime.recent.label', { name: target.name, ms: number(newest.response_ms) })} at=${recent.map((one) => new Date(one.at))} moment=${(at) => fullTime(at)}
        series=${[{ name: t('uptime.response'), tone: 'accent', format: ms, values: recent.map((one) => one.response_ms) }]} /><//>`}
    ${days.length >= CHART_LEAST && html`<${Card} title=${t('uptime.by_day')}>
      <${TimeChart} days label=${t('uptime.by_day.label', { name: target.name, n: days.length })} at=${days.map((day) => new Date(`${day.date}T12:00:00Z`))} moment=${(at) => at.toISOString().slice(0, 10)}
        series=${[
    { name: t('uptime.average'), tone: 'accent', format: ms, values: days.map((day) => day.response.average_ms) },
    { name: t('uptime.p95'), tone: 'warn', format: ms, values: days.map((day) => day.response.p95_ms) },
  ]} /><//>`}
  </div>`;
}

const PHASES = { recovered: ['good', 'check'], failed: ['bad', 'cross'], advised: ['info', 'info'] };

function Incident({ one }) {
  const recoveries = one.recoveries ?? [];
  return html`<li>
    <span class="lead"><${Badge} tone=${one.ended_at ? 'idle' : 'bad'} icon=${one.ended_at ? 'check' : 'warning'}>${t(one.ended_at ? 'uptime.over' : 'uptime.open')}<//></span>
    <div class="what stack tight">
      <p><span class="strong">${fullTime(new Date(one.began_at))}</span> · ${t('uptime.lasted', { time: duration(one.down_s) })}</p>
      <p>${one.reason.sentence}</p>
      ${one.detected_at && html`<p class="small quiet">${t('uptime.detected', { time: duration((new Date(one.detected_at) - new Date(one.began_at)) / 1000) })}${one.detected_by && ` · ${one.detected_by}`}</p>`}
      ${recoveries.map((recovery) => html`<${Recovery} one=${recovery} />`)}
    </div>
  </li>`;
}

function Recovery({ one }) {
  const [tone, icon] = PHASES[one.phase] ?? ['warn', 'refresh'];
  return html`<div class="course">
    <p class="row tight"><${Badge} tone=${tone} icon=${icon}>${t(`recovery.phase.${one.phase}`)}<//> <span>${one.sentence}</span></p>
    <ul class="small quiet">${(one.steps ?? []).map((step) => html`<li>${clockTime(new Date(step.at))} · ${t(`recovery.way.${step.way}`)} · ${t(`recovery.step.${step.state}`)}${step.detail ? ` · ${step.detail}` : ''}</li>`)}</ul>
  </div>`;
}
