// What the console says, in the language of whoever reads. Messages are in web/i18n/*.js, all languages with the same keys.
//
//   t('chats.title')                    a message
//   t('overview.sessions', { n: 3 })    with values; where a message is an object, `n` chooses among one/few/other
//   t(`state.${state}`)                 a key made at run time: everything under `state.` counts as used
import en from '../i18n/en.js';
import ro from '../i18n/ro.js';
import { observable, useObservable } from './observable.js';

export const LANGUAGES = { en: 'English', ro: 'Română' };
const MESSAGES = { en, ro };
const STORED = 'keepline.language';

const language = observable(initial());

function initial() {
  const wanted = [localStorage.getItem(STORED), ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return wanted.find((tag) => tag in MESSAGES) ?? 'en';
}

export function useLanguage() {
  return useObservable(language);
}

export function setLanguage(tag) {
  localStorage.setItem(STORED, tag);
  document.documentElement.lang = tag;
  language.value = tag;
}
document.documentElement.lang = language.value;

export function t(key, values = {}) {
  const found = MESSAGES[language.value][key];
  if (found === undefined) return key;
  const text = typeof found === 'string' ? found : found[plural(values.n)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === 'number' ? number(values[name]) : values[name] ?? ''));
}

/** Whether there is such a message: codes of newer servers may have none. */
export function has(key) {
  return key in MESSAGES[language.value];
}

function plural(n) {
  return new Intl.PluralRules(language.value).select(n ?? 0);
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}

/** The reader's own form of the language, for numbers and times: en-GB has other dates than en-US. */
function locale() {
  return navigator.languages.find((tag) => tag.startsWith(language.value)) ?? language.value;
}

/** A point in time in full, in the reader's time zone. */
export function fullTime(at) {
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'medium' }).format(at);
}

export function clockTime(at) {
  return new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit' }).format(at);
}

export function dayName(at) {
  return new Intl.DateTimeFormat(locale(), { weekday: 'long', day: 'numeric', month: 'long' }).format(at);
}

/** A calendar day, which the API writes as YYYY-MM-DD: the same in every time zone. */
export function calendarDay(date, form = { dateStyle: 'medium' }) {
  return new Intl.DateTimeFormat(locale(), { ...form, timeZone: 'UTC' }).format(new Date(`${date}T00:00:00Z`));
}

/** A time below a chart: its day, or its hour. */
export function axisTime(at, days) {
  const form = days ? { day: 'numeric', month: 'short' } : { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Intl.DateTimeFormat(locale(), form).format(at);
}

export function dollars(usd) {
  return new Intl.NumberFormat(locale(), { style: 'currency', currency: 'USD', currencyDisplay: 'narrowSymbol', maximumFractionDigits: usd < 1 ? 4 : 2 }).format(usd);
}

const UNITS = [['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]];

/** "2 minutes ago", "in 3 hours". */
export function relativeTime(at, now = Date.now()) {
  const seconds = Math.round((at.getTime() - now) / 1000);
  const [unit, size] = UNITS.find(([, unitSize]) => Math.abs(seconds) >= unitSize) ?? UNITS[3];
  return new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' }).format(Math.trunc(seconds / size), unit);
}

/** "3 min 20 s": a length of time in its two largest units. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [['day', Math.floor(whole / 86_400)], ['hour', Math.floor(whole / 3_600) % 24], ['minute', Math.floor(whole / 60) % 60], ['second', whole % 60]];
  const shown = parts.slice(Math.max(0, parts.findIndex(([, count]) => count > 0))).slice(0, 2).filter(([, count]) => count > 0);
  return (shown.length ? shown : [['second', 0]])
    .map(([unit, count]) => new Intl.NumberFormat(locale(), { style: 'unit', unit, unitDisplay: 'short' }).format(count))
    .join(' ');
}
