// One day: its figures, its hours, its sessions, and what it cost.
import { html } from '../app/html.js';
import { api } from '../app/api.js';
import { TimeChart } from '../app/charts.js';
import { calendarDay, clockTime, dollars, duration, has, number, t } from '../app/i18n.js';
import { Card, ErrorNote, Loading, PageHead, Table } from '../app/kit.js';
import { usePolled } from '../app/live.js';
import { to } from '../app/router.js';
import { ReportFigures, seconds } from '../app/report_kit.js';
import { share } from '../app/uptime_kit.js';

export default function Report({ date, installation }) {
  const { data, error, refresh } = usePolled(() => api.get(`/api/reports/${encodeURIComponent(date)}`, installation ? { installation: 'true' } : {}), null, [date]);
  return html`
    <p><a class="row tight" href=${to('reports', installation ? { of: 'installation' } : {})}>${t('reports.back')}</a></p>
    <${PageHead} title=${data ? calendarDay(data.date, { dateStyle: 'full' }) : t('nav.reports')} lead=${data && t('report.zone', { zone: data.time_zone.replaceAll('_', ' '), n: data.sessions_total })} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Shown} report=${data} installation=${installation} />`}`;
}

function Shown({ report, installation }) {
  const at = report.hours.map((hour) => new Date(hour.from));
  const limits = Object.entries(report.limit_minutes ?? {});
  return html`
    <${Card}><${ReportFigures} of=${report} /><//>
    <div class="charts">
      <${Card} title=${t('report.hours.messages')}>
        <${TimeChart} bars label=${t('report.hours.messages.label', { accepted: report.messages.accepted, received: report.messages.received })} at=${at} moment=${clockTime}
          series=${[{ name: t('report.accepted'), tone: 'accent', values: report.hours.map((one) => one.accepted) }, { name: t('report.received'), tone: 'info', values: report.hours.map((one) => one.received) }]} /><//>
      <${Card} title=${t('report.hours.down')}>
        <${TimeChart} bars label=${t('report.hours.down.label', { time: duration(report.uptime.downtime_s) })} at=${at} moment=${clockTime}
          series=${[{ name: t('report.hours.down'), tone: 'bad', format: (value) => seconds(value), values: report.hours.map((one) => one.downtime_s) }]} /><//>
    </div>
    ${report.sessions.length > 0 && html`<${Card} flush title=${t('report.sessions')}><${Table} label=${t('report.sessions')} rows=${report.sessions} rowKey=${(one) => `${one.user_id} ${one.session_id}`} columns=${[
      { label: t('report.session'), cell: (one) => html`<span class="strong">${installation ? `${one.user_id} / ${one.session_id}` : one.session_id}</span>` },
      { label: t('report.uptime'), cell: (one) => share(one.uptime.share) },
      { label: t('report.downtime'), cell: (one) => duration(one.uptime.downtime_s) },
      { label: t('report.disconnects'), cell: (one) => number(one.uptime.disconnects) },
      { label: t('report.sent'), cell: (one) => number(one.messages.sent) },
      { label: t('report.received'), cell: (one) => number(one.messages.received) },
      { label: t('report.failed'), cell: (one) => number(one.messages.failed) },
      { label: t('report.delay'), cell: (one) => seconds(one.delays?.p50_s) },
    ]} /><//>`}
    <div class="charts">
      ${report.cost && html`<${Card} flush title=${t('report.cost')}><${Table} label=${t('report.cost')} rows=${report.cost.parts} rowKey=${(one) => one.name} columns=${[
        { label: t('report.cost.part'), cell: (one) => (has(`report.part.${one.name}`) ? t(`report.part.${one.name}`) : one.name) },
        { label: t('report.cost.quantity'), cell: (one) => number(one.quantity, 2) },
        { label: t('report.cost'), cell: (one) => dollars(one.usd) },
      ]} /><//>`}
      ${limits.length > 0 && html`<${Card} title=${t('report.limits')}><p class="small quiet">${t('report.limits.text')}</p><dl class="facts">${limits.map(([name, minutes]) => html`<dt>${has(`limits.of.${name}`) ? t(`limits.of.${name}`) : name}</dt><dd>${t('report.minutes', { n: minutes })}</dd>`)}</dl><//>`}
    </div>`;
}
