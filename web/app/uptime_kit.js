// What both pages of uptime show: shares, the bars of 90 days, and the form of a target.
import { html, useState } from './html.js';
import { api } from './api.js';
import { DayBars, AsTable } from './charts.js';
import { calendarDay, duration, number, t } from './i18n.js';
import { Button, Checkbox, Dialog, ErrorNote, Field, SelectField, TextField } from './kit.js';
import { useAction } from './live.js';
import { NumberField } from './watch_kit.js';

const PERCENT = 100;
const MOST = 0.99; // a day with an outage is amber down to here, red below (14 min)
const PRESETS = ['aggressive', 'balanced', 'conservative'];
const METHODS = ['GET', 'HEAD', 'POST'];

/** "99.98 %": rounded down, for nothing that was away is 100 %. A dash where nothing was watched. */
export function share(value) {
  if (value === null || value === undefined) return '–';
  return `${number(Math.floor(value * PERCENT * 1000) / 1000, 3)} %`;
}

/** The documents behind a target, whose changes have the API asked anew. */
export const TARGETS = { collection: 'uptime', everybody: true };
export const markOf = (row) => [row.id, row.state, row.since, row.outage];

/** days: as the API gives them, oldest first. */
export function NinetyDays({ name, days }) {
  const down = days.filter((day) => day.outages > 0).length;
  const label = t('uptime.bars', { name, n: days.length, down });
  const shown = days.map((day) => ({ name: calendarDay(day.date), tone: toneOf(day), said: saidOf(day) }));
  return html`<div>
    <${DayBars} label=${label} days=${shown} />
    <div class="bars-foot"><span>${t('uptime.days_ago', { n: days.length })}</span><span>${t('uptime.today')}</span></div>
    <${AsTable} label=${label} head=${[t('chart.day'), t('uptime.share'), t('uptime.down_for'), t('uptime.outages'), t('uptime.not_watched')]}
      rows=${[...days].reverse().map((day) => [calendarDay(day.date), share(day.uptime), duration(day.down_s), number(day.outages), duration(day.not_watched_s)])} />
  </div>`;
}

/** Green is without any outage, however short. */
function toneOf({ uptime, outages }) {
  if (uptime === null) return '';
  if (outages === 0) return 'good';
  return uptime >= MOST ? 'warn' : 'bad';
}

function saidOf(day) {
  if (day.uptime === null) return t('uptime.not_watched');
  return day.outages ? t('uptime.day_with', { share: share(day.uptime), down: duration(day.down_s) }) : share(day.uptime);
}

/** A target to watch, or changes of one. Ours (connectors, the API) have neither an address nor an end. */
export function TargetForm({ target = null, onDone, onClose }) {
  const ours = target !== null && target.kind !== 'url';
  const [name, setName] = useState(target?.name ?? '');
  const [url, setUrl] = useState(target?.check?.url ?? '');
  const [method, setMethod] = useState(target?.check?.method ?? 'GET');
  const [status, setStatus] = useState((target?.check?.expected_status ?? [200]).join(', '));
  const [text, setText] = useState(target?.check?.text ?? '');
  const [headers, setHeaders] = useState('');
  const [preset, setPreset] = useState(target?.settings.preset ?? 'balanced');
  const [slo, setSlo] = useState(String((target?.settings.slo ?? 0.999) * PERCENT));
  const [enabled, setEnabled] = useState(target?.enabled ?? true);
  const save = useAction(async () => {
    const check = ours ? {} : { url: url.trim(), method, expected_status: status.split(/[\s,]+/).filter(Boolean).map(Number), text: text.trim() || null };
    if (!ours && headers.trim()) check.headers = Object.fromEntries(headers.split('\n').filter((one) => one.includes(':')).map((one) => [one.slice(0, one.indexOf(':')).trim(), one.slice(one.indexOf(':') + 1).trim()]));
    const body = { name: name.trim(), ...check, settings: { preset, slo: Number((Number(slo) / PERCENT).toFixed(6)) } };
    await onDone(target ? await api.patch(`/api/uptime/targets/${encodeURIComponent(target.target_id)}`, { ...body, enabled }) : await api.post('/api/uptime/targets', body));
  });
  const submit = (event) => {
    event.preventDefault();
    save.run();
  };
  return html`<${Dialog} title=${t(target ? 'uptime.edit' : 'uptime.add')} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <${TextField} label=${t('uptime.name')} value=${name} onValue=${setName} maxlength="100" required />
      ${!ours && html`
        <${TextField} label=${t('uptime.url')} type="url" value=${url} onValue=${setUrl} required placeholder="https://shop.example.com/health" />
        <div class="columns">
          <${SelectField} label=${t('uptime.method')} value=${method} onValue=${setMethod} options=${METHODS.map((one) => [one, one])} />
          <${TextField} label=${t('uptime.expected')} value=${status} onValue=${setStatus} required inputmode="numeric" />
        </div>
        <${TextField} label=${t('uptime.text')} hint=${t('uptime.text.hint')} value=${text} onValue=${setText} />
        <${Field} label=${t('webhooks.headers')} hint=${t(target ? 'webhooks.headers.edit' : 'webhooks.headers.hint')}>
          ${(given) => html`<textarea rows="2" autocomplete="off" spellcheck="false" value=${headers} onInput=${(event) => setHeaders(event.target.value)} ...${given}></textarea>`}
        <//>`}
      <${SelectField} label=${t('uptime.preset')} hint=${t(`uptime.preset.${preset}.text`)} value=${preset} onValue=${setPreset} options=${PRESETS.map((one) => [one, t(`uptime.preset.${one}`)])} />
      <${NumberField} label=${t('uptime.slo')} hint=${t('uptime.slo.hint')} value=${slo} onValue=${setSlo} min="50" max="99.999" step="any" required />
      ${target && html`<${Checkbox} label=${t('uptime.enabled')} checked=${enabled} onValue=${setEnabled} />`}
      <${ErrorNote} error=${save.error} />
      <div class="actions"><${Button} onClick=${onClose}>${t('action.cancel')}<//><${Button} kind="main" type="submit" busy=${save.busy}>${t('action.save')}<//></div>
    </form>
  <//>`;
}
