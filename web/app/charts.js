// Charts, each with its figures as a table beside it: whoever cannot see a drawing, or wants the numbers, has the same.
import uPlot from '../vendor/uplot.js';
import { html, useEffect, useRef, useState } from './html.js';
import { axisTime, number, t } from './i18n.js';
import { colour, useTheme } from './theme.js';

const HEIGHT_PX = 200;
const NARROW_PX = 420;
// Below an axis of time there are hours and minutes, or days: no two of its labels are to be the same.
const TIME_STEPS_S = [60, 120, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, ...[1, 2, 3, 5, 7, 10, 15, 30].map((days) => days * 86_400)];

/**
 * Lines or bars over time. at: Dates; series: [{ name, values, tone, format }], values may be null where there is none; `bars` draws
 * bars. `label` says what is to be seen, in one sentence with the figures that matter. `moment` writes a time for the table.
 */
export function TimeChart({ label, at, series, bars = false, moment, days = false }) {
  const box = useRef(null);
  const theme = useTheme();
  const dark = useDark();
  const key = JSON.stringify([at, series.map(({ name, values }) => [name, values])]);
  useEffect(() => {
    const data = [at.map((one) => one.getTime() / 1000), ...series.map(({ values }) => values)];
    const place = box.current; // the reference is empty already when somebody leaves the page
    const chart = new uPlot(options(place, series, { bars, days }), data, place);
    const observer = new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: HEIGHT_PX }));
    observer.observe(place);
    return () => {
      observer.disconnect();
      chart.destroy();
    };
  }, [key, theme, dark, bars]);
  return html`<figure class="chart">
    <div class="legend" aria-hidden="true">${series.map(({ name, tone }) => html`<span class="tone-${tone}"><i></i>${name}</span>`)}</div>
    <div class="plot" role="img" aria-label=${label} ref=${box}></div>
    <${AsTable} label=${label} head=${[t('chart.time'), ...series.map(({ name }) => name)]}
      rows=${at.map((one, index) => [moment(one), ...series.map(({ values, format }) => shown(values[index], format))])} />
  </figure>`;
}

/** The same figures to read. */
export function AsTable({ label, head, rows }) {
  const [open, setOpen] = useState(false);
  return html`<details class="as-table" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>${t('chart.as_table')}</summary>
    ${open && html`<div class="table-scroll bounded" tabindex="0" role="region" aria-label=${label}><table class="table plain numbers" aria-label=${label}>
      <thead><tr>${head.map((one) => html`<th scope="col">${one}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<tr>${row.map((cell, index) => (index ? html`<td>${cell}</td>` : html`<th scope="row">${cell}</th>`))}</tr>`)}</tbody>
    </table></div>`}
  </details>`;
}

/** A row of small bars, one a day, oldest first. days: [{ name, tone, said }], tone '' where nothing is known. */
export function DayBars({ label, days }) {
  return html`<div class="day-bars" role="img" aria-label=${label}>${days.map(({ name, tone, said }) => html`<span class=${tone ? `tone-${tone}` : ''} title="${name}: ${said}"></span>`)}</div>`;
}

function shown(value, format) {
  if (value === null || value === undefined) return '–';
  return format ? format(value) : number(value, 2);
}

function useDark() {
  const [dark, setDark] = useState(matchMedia('(prefers-color-scheme: dark)').matches);
  useEffect(() => {
    const media = matchMedia('(prefers-color-scheme: dark)');
    const changed = () => setDark(media.matches);
    media.addEventListener('change', changed);
    return () => media.removeEventListener('change', changed);
  }, []);
  return dark;
}

function options(box, series, { bars, days }) {
  const width = Math.max(200, box.clientWidth);
  const axis = { stroke: colour('--ink-2'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
  const first = series[0].format ?? ((value) => number(value));
  return {
    width,
    height: HEIGHT_PX,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: true, range: bars ? withRoom : undefined }, y: { range: (_, least, most) => [0, most > 0 ? most * 1.12 : 1] } },
    axes: [
      { ...axis, size: 30, grid: { show: false }, incrs: TIME_STEPS_S, space: width < NARROW_PX ? 70 : 60, values: (_, times) => times.map((seconds) => axisTime(new Date(seconds * 1000), days)) },
      { ...axis, size: 62, values: (_, values) => values.map((value) => (value === null ? '' : first(value))) },
    ],
    series: [{}, ...series.map(({ tone }, index) => line(colour(`--${tone}`), bars, index, series.length))],
  };
}

/** Bars begin at their hour or day, so the last one needs room beside it. */
function withRoom(chart, least, most) {
  const at = chart.data[0];
  const step = at.length > 1 ? at[1] - at[0] : 3600;
  return [least - step * 0.6, most + step * 0.6];
}

function line(stroke, bars, index, count) {
  const common = { stroke, width: 1.75, points: { show: false }, spanGaps: false };
  if (!bars) return common;
  // Beside each other: the first stands left of its time, the second right of it.
  const align = count === 1 ? 0 : index === 0 ? -1 : 1;
  return { ...common, width: 0, fill: stroke, paths: uPlot.paths.bars({ size: [count === 1 ? 0.7 : 0.36, 28], align, radius: 0.2 }) };
}
