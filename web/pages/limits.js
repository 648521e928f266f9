// What is left: of how often things may be done, and of the places for sessions.
import { html } from '../app/html.js';
import { api } from '../app/api.js';
import { duration, has, number, t } from '../app/i18n.js';
import { Badge, Card, ErrorNote, Loading, PageHead, Table } from '../app/kit.js';
import { usePolled } from '../app/live.js';

const EVERY_MS = 5_000;
const FEW = 0.25; // of what can be used at once

export default function Limits() {
  const { data, error, refresh } = usePolled(() => api.get('/api/limits'), EVERY_MS);
  return html`
    <${PageHead} title=${t('nav.limits')} lead=${t('limits.lead')} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Shown} limits=${Object.entries(data.limits)} places=${Object.entries(data.places)} />`}`;
}

function Shown({ limits, places }) {
  return html`
    <${Card} title=${t('limits.places')}><div class="columns">
      ${places.map(([name, { limit, used }]) => html`<div class="stack tight">
        <div class="row apart"><h3>${t(`limits.places.${name}`)}</h3><span class="numbers">${t('limits.used_of', { used, limit })}</span></div>
        <${Meter} share=${used / limit} tone=${used >= limit ? 'bad' : 'good'} label=${`${t(`limits.places.${name}`)}: ${t('limits.used_of', { used, limit })}`} />
        ${used >= limit && html`<p class="small">${t(`limits.places.${name}.full`)}</p>`}
      </div>`)}
    </div><//>
    <${Card} flush title=${t('limits.uses')}><${Table} label=${t('limits.uses')} rows=${limits} rowKey=${([name]) => name} columns=${[
      { label: t('limits.what'), cell: ([name]) => html`<span class="strong">${has(`limits.of.${name}`) ? t(`limits.of.${name}`) : name}</span>` },
      { label: t('limits.long_run'), cell: ([, limit]) => t('limits.rate', { count: limit.count, period: duration(limit.period_s) }) },
      { label: t('limits.now'), cell: ([name, limit]) => html`<${Left} name=${name} limit=${limit} />` },
      { label: t('limits.whole'), cell: ([, limit]) => (limit.reset_s > 0 ? t('limits.whole_in', { time: duration(Math.ceil(limit.reset_s)) }) : t('limits.whole_now')) },
    ]} /><//>
    <p class="small quiet">${t('limits.more')}</p>`;
}

function Left({ name, limit }) {
  const share = limit.remaining / limit.burst;
  const tone = limit.remaining === 0 ? 'bad' : share < FEW ? 'warn' : 'good';
  const said = t('limits.left_of', { left: limit.remaining, burst: limit.burst });
  return html`<div class="stack tight"><span class="row tight numbers">${said}${tone !== 'good' && html`<${Badge} tone=${tone}>${t(`limits.tone.${tone}`)}<//>`}</span><${Meter} share=${share} tone=${tone} label="${name}: ${said}" /></div>`;
}

function Meter({ share, tone, label }) {
  const percent = Math.round(Math.min(1, Math.max(0, share)) * 100);
  return html`<div class="meter tone-${tone}" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${percent} aria-valuetext=${number(percent) + ' %'}><span style=${{ width: `${percent}%` }}></span></div>`;
}
