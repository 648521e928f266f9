// What both pages of reports show.
import { html } from './html.js';
import { dollars, duration, number, t } from './i18n.js';
import { share } from './uptime_kit.js';
import { Figure } from './watch_kit.js';

export function seconds(value) {
  if (value === null || value === undefined) return '–';
  return value < 60 ? t('report.seconds', { s: number(value, value < 1 ? 3 : 1) }) : duration(value);
}

/** The figures of a report: of the whole, or of one session. */
export function ReportFigures({ of }) {
  const { uptime, messages, delays } = of;
  return html`<dl class="figures">
    <${Figure} name=${t('report.uptime')} value=${share(uptime.share)} hint=${uptime.downtime_s > 0 ? t('report.down', { time: duration(uptime.downtime_s), longest: duration(uptime.longest_s) }) : ''} />
    <${Figure} name=${t('report.disconnects')} value=${number(uptime.disconnects)} hint=${t('report.reconnects', { n: uptime.reconnects })} />
    <${Figure} name=${t('report.accepted')} value=${number(messages.accepted)} hint=${messages.waiting ? t('report.waiting', { n: messages.waiting }) : ''} />
    <${Figure} name=${t('report.sent')} value=${number(messages.sent)} hint=${t('report.delivered', { delivered: messages.delivered, read: messages.read })} />
    <${Figure} name=${t('report.received')} value=${number(messages.received)} />
    <${Figure} name=${t('report.failed')} value=${number(messages.failed)} tone=${messages.failed ? 'bad' : ''} hint=${messages.expired || messages.cancelled ? t('report.not_sent', { expired: messages.expired, cancelled: messages.cancelled }) : ''} />
    <${Figure} name=${t('report.delay')} value=${seconds(delays?.p50_s)} hint=${delays ? t('report.delay.more', { p95: seconds(delays.p95_s), max: seconds(delays.max_s) }) : ''} />
    <${Figure} name=${t('report.doubts')} value=${number(of.doubts)} />
    <${Figure} name=${t('report.dead_letters')} value=${number(of.dead_letters)} tone=${of.dead_letters ? 'bad' : ''} />
    <${Figure} name=${t('report.bans')} value=${number(of.bans)} tone=${of.bans ? 'bad' : ''} hint=${of.rate_signals ? t('report.rate_signals', { n: of.rate_signals }) : ''} />
    ${of.webhooks && html`<${Figure} name=${t('report.webhooks')} value=${number(of.webhooks.delivered)} hint=${of.webhooks.failed ? t('report.webhooks.failed', { n: of.webhooks.failed }) : ''} />`}
    ${of.cost && html`<${Figure} name=${t('report.cost')} value=${dollars(of.cost.usd)} hint=${t('report.cost.hint', { date: of.cost.prices_of })} />`}
  </dl>`;
}
