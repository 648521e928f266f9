// What several pages of watching share.
import { html } from './html.js';
import { t } from './i18n.js';
import { Badge, Button, ErrorNote, Field } from './kit.js';

const SEVERITIES = { info: ['info', 'info'], warning: ['warn', 'warning'], critical: ['bad', 'bolt'] };

export function Severity({ of }) {
  const [tone, icon] = SEVERITIES[of] ?? ['idle', 'question'];
  return html`<${Badge} tone=${tone} icon=${icon}>${t(`severity.${of}`)}<//>`;
}

const TARGET_STATES = { up: ['good', 'check'], degraded: ['warn', 'warning'], down: ['bad', 'cross'], unknown: ['idle', 'question'] };

export function TargetState({ state }) {
  const [tone, icon] = TARGET_STATES[state] ?? TARGET_STATES.unknown;
  return html`<${Badge} tone=${tone} icon=${icon}>${t(`uptime.state.${state}`)}<//>`;
}

/** An operator's choice between what is their own and what is the installation's; it stands beside a page's heading. */
export function Whose({ installation, onValue }) {
  return html`<label><span class="seen-by-readers-only">${t('whose.label')}</span>
    <select class="input" value=${installation ? 'installation' : 'own'} onChange=${(event) => onValue(event.target.value === 'installation')}>
      ${[['own', t('whose.own')], ['installation', t('whose.installation')]].map(([one, text]) => html`<option value=${one} selected=${(one === 'installation') === installation}>${text}</option>`)}
    </select></label>`;
}

/** The button below a list that has more. */
export function Older({ more, older }) {
  return html`<${ErrorNote} error=${older.error} />${more && html`<div class="older"><${Button} busy=${older.busy} onClick=${older.run}>${t('action.older')}<//></div>`}`;
}

export function NumberField({ label, hint, wrong, value, onValue, ...rest }) {
  return html`<${Field} label=${label} hint=${hint} wrong=${wrong}>
    ${(given) => html`<input type="number" inputmode="decimal" value=${value} onInput=${(event) => onValue(event.target.value)} ...${given} ...${rest} />`}
  <//>`;
}

export function ZoneField({ value, onValue, label }) {
  const zones = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')];
  const all = zones.includes(value) ? zones : [value, ...zones];
  return html`<${Field} label=${label}>
    ${(given) => html`<select value=${value} onChange=${(event) => onValue(event.target.value)} ...${given}>${all.map((zone) => html`<option value=${zone} selected=${zone === value}>${zone.replaceAll('_', ' ')}</option>`)}</select>`}
  <//>`;
}

/** A figure with its name; several stand beside each other in a `.figures`. */
export function Figure({ name, value, hint, tone }) {
  return html`<div class="figure ${tone ? `tone-${tone}` : ''}"><dt>${name}</dt><dd class="numbers">${value}</dd>${hint && html`<dd class="small quiet">${hint}</dd>`}</div>`;
}
