// The components that pages are made of. Each is plain markup with a class of style/kit.css, so that a page may also write its own.
import { html, useEffect, useId, useRef, useState } from './html.js';
import { fullTime, relativeTime, t } from './i18n.js';
import { Icon } from './icons.js';
import { useNow } from './live.js';
import { observable, useObservable } from './observable.js';

/** kind: '' | 'main' | 'danger' | 'plain'; busy shows that it works and takes no second press. `icon` alone needs a `label`. */
export function Button({ kind = '', small = false, icon, label, busy = false, disabled = false, href, children, ...rest }) {
  const shape = `button ${kind} ${small ? 'small' : ''} ${icon && !children ? 'icon' : ''}`;
  const inside = html`${busy ? html`<span class="spinner"></span>` : icon && html`<${Icon} name=${icon} />`}${children}`;
  if (href) return html`<a class=${shape} href=${href} aria-label=${label} title=${label} ...${rest}>${inside}</a>`;
  return html`<button type="button" class=${shape} disabled=${disabled || busy} aria-busy=${busy} aria-label=${label} title=${children ? undefined : label} ...${rest}>${inside}</button>`;
}

/** A label, what it labels, a hint and what is wrong. `children` is a function that gets the ids: `(props) => <input ...props>`. */
export function Field({ label, hint, wrong, children }) {
  const id = useId();
  const described = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(' ') || undefined;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children({ id, class: 'input', 'aria-describedby': described, 'aria-invalid': wrong ? 'true' : undefined })}
    ${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}
    ${wrong && html`<span class="wrong" id="${id}-wrong">${wrong}</span>`}
  </div>`;
}

export function TextField({ label, hint, wrong, value, onValue, ...rest }) {
  return html`<${Field} label=${label} hint=${hint} wrong=${wrong}>
    ${(given) => html`<input type="text" autocomplete="off" value=${value} onInput=${(event) => onValue(event.target.value)} ...${given} ...${rest} />`}
  <//>`;
}

/** options: [[value, text], …] */
export function SelectField({ label, hint, value, onValue, options }) {
  return html`<${Field} label=${label} hint=${hint}>
    ${(given) => html`<select value=${value} onChange=${(event) => onValue(event.target.value)} ...${given}>
      ${options.map(([one, text]) => html`<option value=${one} selected=${one === value}>${text}</option>`)}
    </select>`}
  <//>`;
}

export function Checkbox({ label, checked, onValue, ...rest }) {
  return html`<label class="check"><input type="checkbox" checked=${checked} onChange=${(event) => onValue(event.target.checked)} ...${rest} /><span>${label}</span></label>`;
}

export function Card({ title, actions, flush = false, children, ...rest }) {
  return html`<section class="card ${flush ? 'flush' : ''}" ...${rest}>
    ${(title || actions) && html`<header><h2>${title}</h2>${actions && html`<div class="row tight">${actions}</div>`}</header>`}
    ${children}
  </section>`;
}

/** tone: good | warn | bad | info | idle. Colour never stands alone: there is an icon and a word. */
export function Badge({ tone = 'idle', icon, children }) {
  return html`<span class="badge tone-${tone}"><${Icon} name=${icon ?? TONE_ICONS[tone]} />${children}</span>`;
}
const TONE_ICONS = { good: 'check', warn: 'warning', bad: 'cross', info: 'info', idle: 'clock' };

const SESSION_STATES = {
  connected: ['good', 'check'], degraded: ['warn', 'warning'], starting: ['info', 'clock'], reconnecting: ['warn', 'refresh'],
  pairing: ['info', 'phone'], stopped: ['idle', 'pause'], logged_out: ['bad', 'out'], banned: ['bad', 'ban'], outdated: ['bad', 'warning'], failed: ['bad', 'cross'],
};

/** The state of a session or of one of its devices. */
export function SessionState({ state }) {
  const [tone, icon] = SESSION_STATES[state] ?? ['idle', 'question'];
  return html`<${Badge} tone=${tone} icon=${icon}>${t(`state.${state}`)}<//>`;
}

const MESSAGE_STATES = {
  scheduled: ['info', 'clock'], queued: ['idle', 'clock'], sending: ['info', 'send'], in_doubt: ['warn', 'question'], sent: ['idle', 'check'],
  delivered: ['good', 'checks'], read: ['good', 'checks'], played: ['good', 'checks'], failed: ['bad', 'cross'], expired: ['warn', 'clock'], cancelled: ['idle', 'ban'],
};

/** The state of a message. */
export function MessageState({ state }) {
  const [tone, icon] = MESSAGE_STATES[state] ?? ['idle', 'question'];
  return html`<${Badge} tone=${tone} icon=${icon}>${t(`message.state.${state}`)}<//>`;
}

/** Something to know, in words. `live` has screen readers say it when it appears. */
export function Note({ tone = 'info', title, slim = false, live = false, actions, children }) {
  const role = live ? (tone === 'bad' ? 'alert' : 'status') : undefined;
  return html`<div class="note tone-${tone} ${slim ? 'slim' : ''}" role=${role}>
    <${Icon} name=${TONE_ICONS[tone]} />
    <div class="grow">${title && html`<p class="strong">${title}</p>`}${children}</div>
    ${actions}
  </div>`;
}

/** An error as the API says it: what went wrong, what to do, its code. Nothing without an error. */
export function ErrorNote({ error, retry }) {
  if (!error) return null;
  return html`<${Note} tone="bad" live title=${error.message || t('error.unknown')} actions=${retry && html`<${Button} small icon="refresh" onClick=${retry}>${t('action.retry')}<//>`}>
    ${error.hint && html`<p>${error.hint}</p>`}
    ${error.code && html`<p class="small quiet"><code>${error.code}</code>${error.requestId && html` · <code>${error.requestId}</code>`}</p>`}
  <//>`;
}

export function Loading({ what }) {
  return html`<div class="skeleton" role="status"><i class="seen-by-readers-only">${what ?? t('loading')}</i><span></span><span></span><span></span></div>`;
}

export function Empty({ icon = 'info', title, children, actions }) {
  return html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>${children && html`<p>${children}</p>`}${actions && html`<div class="row">${actions}</div>`}</div>`;
}

/** A page's first line; the heading takes the focus when somebody comes to the page, so that readers hear where they are. */
export function PageHead({ title, lead, actions }) {
  return html`<div class="page-head"><div><h1 tabindex="-1" data-page-title>${title}</h1>${lead && html`<p>${lead}</p>`}</div>${actions && html`<div class="row tight">${actions}</div>`}</div>`;
}

/** A modal dialog: the browser keeps the focus inside and gives it back; Escape closes. It is open as long as it is drawn. */
export function Dialog({ title, onClose, children }) {
  const box = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    return () => before?.focus?.();
  }, []);
  const outside = (event) => { if (event.target === box.current) onClose(); };
  return html`<dialog class="dialog" ref=${box} aria-labelledby=${id} onCancel=${(event) => { event.preventDefault(); onClose(); }} onMouseDown=${outside}>
    <header><h2 id=${id}>${title}</h2><${Button} kind="plain" small icon="cross" label=${t('action.close')} onClick=${onClose} /></header>
    <div class="body">${children}</div>
  </dialog>`;
}

/** A question before something that cannot be undone. `act` may be async; its error is shown and the dialog stays. */
export function Confirm({ title, children, action, act, onClose }) {
  const [state, setState] = useState({ busy: false, error: null });
  const go = async () => {
    setState({ busy: true, error: null });
    try {
      await act();
      onClose();
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${children}</p>
    <${ErrorNote} error=${state.error} />
    <div class="actions"><${Button} onClick=${onClose}>${t('action.cancel')}<//><${Button} kind="danger" busy=${state.busy} onClick=${go}>${action}<//></div>
  <//>`;
}

/** columns: [{ name, label, end, cell: (row) => … }]; on a phone each row is a card that names its cells. */
export function Table({ label, columns, rows, rowKey }) {
  return html`<div class="table-scroll"><table class="table" aria-label=${label}>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.end ? 'end' : ''}>${column.label || html`<span class="seen-by-readers-only">${t('table.actions')}</span>`}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${rowKey(row)}>${columns.map((column) => html`<td data-label=${column.label} class=${column.end ? 'end' : ''}><div class="grow">${column.cell(row)}</div></td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** tabs: [[value, text], …] Arrow keys move between them. */
export function Tabs({ label, tabs, value, onValue }) {
  const row = useRef(null);
  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (tabs.findIndex(([one]) => one === value) + step + tabs.length) % tabs.length;
    onValue(tabs[next][0]);
    row.current.children[next].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} ref=${row} onKeyDown=${keys}>
    ${tabs.map(([one, text]) => html`<button type="button" role="tab" aria-selected=${one === value} tabindex=${one === value ? 0 : -1} onClick=${() => onValue(one)}>${text}</button>`)}
  </div>`;
}

/** A time as people say it, with the exact one for whoever asks. Takes a Date or the API's text. */
export function Time({ at, full = false }) {
  const now = useNow(10_000);
  if (!at) return html`<span class="quiet">${t('time.never')}</span>`;
  const date = at instanceof Date ? at : new Date(at);
  return html`<time datetime=${date.toISOString()} title=${fullTime(date)} class="nowrap">${full ? fullTime(date) : relativeTime(date, now)}</time>`;
}

/** A text to take elsewhere, with a button that copies it. */
export function Copyable({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
  };
  return html`<div class="copyable"><code>${text}</code><${Button} icon=${done ? 'check' : 'copy'} label=${label ?? t('action.copy')} onClick=${copy} /></div>
    <span class="seen-by-readers-only" role="status">${done ? t('action.copied') : ''}</span>`;
}

// Notices that go by themselves

const TOAST_MS = 6_000;
const toasts = observable([]);
let toastNumber = 0;

/** Say in a corner that something worked (or not: give the error, which says so itself). */
export function toast(text, tone = 'good') {
  const id = (toastNumber += 1);
  toasts.value = [...toasts.value.slice(-3), { id, text: text instanceof Error ? text.message : text, tone: text instanceof Error ? 'bad' : tone }];
  setTimeout(() => { toasts.value = toasts.value.filter((one) => one.id !== id); }, TOAST_MS);
}

export function Toasts() {
  const shown = useObservable(toasts);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map((one) => html`<div key=${one.id} class="toast tone-${one.tone}"><${Icon} name=${TONE_ICONS[one.tone]} /><span>${one.text}</span></div>`)}
  </div>`;
}
