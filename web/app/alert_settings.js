// From where on a rule is an alert, and when only what is urgent may make a sound.
import { html, useEffect, useState } from './html.js';
import { api } from './api.js';
import { has, number, t } from './i18n.js';
import { Button, Card, Checkbox, ErrorNote, Loading, TextField, toast } from './kit.js';
import { useAction, usePolled } from './live.js';
import { NumberField, ZoneField } from './watch_kit.js';

export function AlertSettings({ of }) {
  const query = of.installation ? '?installation=true' : '';
  const { data, error, refresh } = usePolled(() => api.get('/api/alerts/settings', of), null);
  return html`
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Form} data=${data} save=${async (body) => { await api.patch(`/api/alerts/settings${query}`, body); toast(t('action.saved')); await refresh(); }} />`}`;
}

function Form({ data, save }) {
  const [values, setValues] = useState({});
  const [quiet, setQuiet] = useState(null);
  useEffect(() => {
    setValues(Object.fromEntries(Object.entries(data.thresholds).map(([name, { value }]) => [name, String(value)])));
    setQuiet(data.quiet_hours);
  }, [data]);
  const act = useAction(async () => {
    const changed = Object.entries(values).filter(([name, value]) => Number(value) !== data.thresholds[name].value);
    await save({ thresholds: Object.fromEntries(changed.map(([name, value]) => [name, Number(value)])), quiet_hours: quiet });
  });
  const submit = (event) => {
    event.preventDefault();
    act.run();
  };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return html`<form class="stack" onSubmit=${submit}>
    <${Card} title=${t('alerts.thresholds')}><div class="columns">
      ${Object.entries(data.thresholds).map(([name, { usual, least, most }]) => html`<${NumberField} key=${name} label=${has(`alert.threshold.${name}`) ? t(`alert.threshold.${name}`) : name}
        hint=${t('alerts.bounds', { usual: number(usual, 2), least: number(least, 2), most: number(most, 2) })} value=${values[name] ?? ''} min=${least} max=${most} step="any" required
        onValue=${(value) => setValues((before) => ({ ...before, [name]: value }))} />`)}
    </div><//>
    <${Card} title=${t('alerts.quiet')}><div class="stack">
      <p class="quiet">${t('alerts.quiet.text')}</p>
      <${Checkbox} label=${t('alerts.quiet.on')} checked=${Boolean(quiet)} onValue=${(on) => setQuiet(on ? { from: '22:00', to: '07:00', time_zone: zone } : null)} />
      ${quiet && html`<div class="columns">
        <${TextField} label=${t('range.begin')} type="time" value=${quiet.from} onValue=${(from) => setQuiet({ ...quiet, from })} required />
        <${TextField} label=${t('range.until')} type="time" value=${quiet.to} onValue=${(to) => setQuiet({ ...quiet, to })} required />
        <${ZoneField} label=${t('time_zone')} value=${quiet.time_zone} onValue=${(one) => setQuiet({ ...quiet, time_zone: one })} />
      </div>`}
    </div><//>
    <${ErrorNote} error=${act.error} />
    <div class="row"><${Button} kind="main" type="submit" busy=${act.busy}>${t('action.save')}<//></div>
  </form>`;
}
