// The days that have a report, with a chart over them; and when and whether reports are made.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { TimeChart } from '../app/charts.js';
import { calendarDay, dollars, number, t } from '../app/i18n.js';
import { Badge, Button, Card, Checkbox, Dialog, Empty, ErrorNote, Loading, PageHead, Table, Time, toast } from '../app/kit.js';
import { useAction, usePolled } from '../app/live.js';
import { usePages } from '../app/paging.js';
import { replace, to } from '../app/router.js';
import { useUser } from '../app/session.js';
import { share } from '../app/uptime_kit.js';
import { Older, Whose, ZoneField } from '../app/watch_kit.js';

const CHART_LEAST = 2;
const EVERY_MS = 60_000; // there is a new one each day

export default function ReportList({ installation }) {
  const user = useUser();
  const of = installation ? { installation: 'true' } : {};
  const page = async (before) => {
    const answer = await api.get('/api/reports', { before, ...of });
    return { rows: answer.reports, next: answer.next_before };
  };
  const { data, error, refresh } = usePolled(() => page(), EVERY_MS);
  const { rows, more, older } = usePages(data, page, (one) => one.report_id);
  const [settings, setSettings] = useState(false);
  return html`
    <${PageHead} title=${t('nav.reports')} lead=${t('reports.lead')} actions=${html`${user.operator && html`<${Whose} installation=${installation} onValue=${(one) => replace('reports', { of: one ? 'installation' : '' })} />`}<${Button} icon="edit" onClick=${() => setSettings(true)}>${t('reports.settings')}<//>`} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && rows.length === 0 && html`<${Card}><${Empty} icon="report" title=${t('reports.empty')}>${t('reports.empty.text')}<//><//>`}
    ${rows.length >= CHART_LEAST && html`<${Days} rows=${[...rows].reverse()} />`}
    ${rows.length > 0 && html`<${Card} flush><${Table} label=${t('nav.reports')} rows=${rows} rowKey=${(one) => one.report_id} columns=${[
      { label: t('chart.day'), cell: (one) => html`<a class="strong" href=${to('reports', one.date, installation ? { of: 'installation' } : {})}>${calendarDay(one.date)}</a>` },
      { label: t('report.uptime'), cell: (one) => share(one.uptime.share) },
      { label: t('report.sent'), cell: (one) => number(one.messages.sent) },
      { label: t('report.received'), cell: (one) => number(one.messages.received) },
      { label: t('report.failed'), cell: (one) => number(one.messages.failed) },
      { label: t('report.disconnects'), cell: (one) => number(one.uptime.disconnects) },
      { label: t('report.cost'), cell: (one) => (one.cost ? dollars(one.cost.usd) : '–') },
      { label: t('reports.told'), cell: (one) => html`<${Told} told=${one.told} />` },
    ]} /><//>`}
    <${Older} more=${more} older=${older} />
    ${settings && html`<${Settings} of=${of} onClose=${() => setSettings(false)} />`}`;
}

function Days({ rows }) {
  const at = rows.map((one) => new Date(`${one.date}T12:00:00Z`));
  const sum = (name) => rows.reduce((all, one) => all + one.messages[name], 0);
  return html`<${Card} title=${t('reports.messages')}>
    <${TimeChart} bars days label=${t('reports.messages.label', { n: rows.length, sent: sum('sent'), received: sum('received') })} at=${at} moment=${(one) => one.toISOString().slice(0, 10)}
      series=${[{ name: t('report.sent'), tone: 'accent', values: rows.map((one) => one.messages.sent) }, { name: t('report.received'), tone: 'info', values: rows.map((one) => one.messages.received) }]} />
  <//>`;
}

const TOLD = { told: ['good', 'check'], telling: ['info', 'send'], pending: ['info', 'clock'], off: ['idle', 'pause'], failed: ['bad', 'cross'] };

function Told({ told }) {
  const [tone, icon] = TOLD[told?.state] ?? TOLD.off;
  return html`<${Badge} tone=${tone} icon=${icon}>${t(`reports.told.${told?.state ?? 'off'}`)}<//>`;
}

function Settings({ of, onClose }) {
  const path = `/api/reports/settings${of.installation ? '?installation=true' : ''}`;
  const { data, error, refresh } = usePolled(() => api.get(path), null);
  return html`<${Dialog} title=${t('reports.settings')} onClose=${onClose}>
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Form} path=${path} data=${data} onClose=${onClose} />`}
  <//>`;
}

function Form({ path, data, onClose }) {
  const [enabled, setEnabled] = useState(data.enabled);
  const [zone, setZone] = useState(data.time_zone);
  const save = useAction(async () => {
    await api.patch(path, { enabled, time_zone: zone });
    toast(t('action.saved'));
    onClose();
  });
  const submit = (event) => {
    event.preventDefault();
    save.run();
  };
  return html`<form class="stack" onSubmit=${submit}>
    <${Checkbox} label=${t('reports.enabled')} checked=${enabled} onValue=${setEnabled} />
    <${ZoneField} label=${t('time_zone')} value=${zone} onValue=${setZone} />
    ${data.next_report_at && html`<p class="small quiet">${t('reports.next')} <${Time} at=${data.next_report_at} /></p>`}
    <p class="small quiet">${t('reports.channels')} <a href=${to('alerts', 'channels')}>${t('alerts.view.channels')}</a></p>
    <${ErrorNote} error=${save.error} />
    <div class="actions"><${Button} onClick=${onClose}>${t('action.cancel')}<//><${Button} kind="main" type="submit" busy=${save.busy}>${t('action.save')}<//></div>
  </form>`;
}
