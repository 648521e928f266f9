// Link a number, and its standby after it, in one flow: name, code, standby. Each step goes on by itself when the phone has done its part.
import { html, useEffect, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { config } from '../app/config.js';
import { duration, t } from '../app/i18n.js';
import { Icon } from '../app/icons.js';
import { Badge, Button, Card, Copyable, ErrorNote, Loading, Note, PageHead, SessionState, Tabs, TextField } from '../app/kit.js';
import { useAction, useNow, usePolled } from '../app/live.js';
import { phone } from '../app/messages.js';
import { go, to } from '../app/router.js';

const STATUS_EVERY_MS = 1_500;
const CODE_EVERY_MS = 3_000;

export default function Link({ parts }) {
  return parts[0] ? html`<${Flow} key=${parts[0]} id=${parts[0]} />` : html`<${Name} />`;
}

function Steps({ now }) {
  return html`<ol class="steps" aria-label=${t('link.steps')}>${['name', 'scan', 'standby'].map((step, index) => html`
    <li aria-current=${index === now ? 'step' : undefined} class=${index < now ? 'done' : ''}><span>${index < now ? html`<${Icon} name="check" label=${t('link.done')} />` : index + 1}</span>${t(`link.step.${step}`)}</li>`)}</ol>`;
}

function Name() {
  const [id, setId] = useState('');
  const create = useAction(async () => {
    const session = await api.post('/api/sessions/create', id ? { session_id: id } : {});
    go('link', session.session_id);
  });
  return html`
    <${PageHead} title=${t('nav.link')} lead=${t('link.lead')} />
    <${Steps} now=${0} />
    <div class="card narrow"><form class="stack" onSubmit=${(event) => { event.preventDefault(); create.run(); }}>
      <${TextField} label=${t('link.name')} hint=${t('link.name.hint')} value=${id} onValue=${(text) => setId(text.toLowerCase())} maxlength="40" placeholder="support" pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?" name="session" />
      <${ErrorNote} error=${create.error} />
      <div class="row"><${Button} kind="main" type="submit" busy=${create.busy}>${t('link.create')}<//><${Button} href=${to('overview')}>${t('action.cancel')}<//></div>
    </form></div>`;
}

function Flow({ id }) {
  const { data: session, loading, error, refresh } = usePolled(() => api.get(`/api/sessions/${id}/status`), STATUS_EVERY_MS, [id]);
  const first = session?.devices.find((device) => device.slot === 'a');
  const second = session?.devices.find((device) => device.slot === 'b');
  const linked = Boolean(session?.phone) && !['pairing', 'stopped'].includes(first?.state);
  return html`
    <${PageHead} title=${t('link.title', { id })} lead=${t('link.lead')} actions=${html`<${Button} href=${to('overview')}>${t('link.later')}<//>`} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${loading && !session && html`<${Loading} />`}
    ${session && html`
      <${Steps} now=${linked ? (session.standby.state === 'ready' ? 3 : 2) : 1} />
      <div role="status" class="seen-by-readers-only">${t('link.now', { state: t(`state.${session.state}`) })}</div>
      ${!linked ? html`<${Codes} id=${id} slot="a" device=${first} reason=${session.reason} />` : html`<${Linked} session=${session} second=${second} changed=${refresh} />`}`}`;
}

/** The QR code or a pairing code of one device, as long as it waits to be linked. */
function Codes({ id, slot, device, number, reason }) {
  const [way, setWay] = useState('qr');
  return html`<${Card}>
    <div class="link">
      <div class="stack">
        <${Tabs} label=${t('link.way')} value=${way} onValue=${setWay} tabs=${[['qr', t('link.way.qr')], ['code', t('link.way.code')]]} />
        ${way === 'qr' ? html`<${QrCode} id=${id} slot=${slot} device=${device} />` : html`<${PairingCode} id=${id} slot=${slot} number=${number} />`}
      </div>
      <div class="stack">
        <h2>${t(`link.how.${way}`)}</h2>
        <ol class="how">${['1', '2', '3'].map((step) => html`<li>${t(`link.how.${way}.${step}`)}</li>`)}</ol>
        ${device && html`<p class="row tight"><${SessionState} state=${device.state} /></p><p class="quiet">${(device.reason ?? reason).sentence}</p>`}
        ${config.simulator && html`<${Note} slim>${t('link.demo')}<//>`}
      </div>
    </div>
  <//>`;
}

function QrCode({ id, slot, device }) {
  const over = device?.state === 'stopped'; // asking would begin another round, which a person decides
  const [wanted, setWanted] = useState(0);
  if (over && wanted === 0) {
    return html`<div class="qr empty"><p>${t('link.over')}</p><${Button} kind="main" icon="refresh" onClick=${() => setWanted(1)}>${t('link.again')}<//></div>`;
  }
  return html`<${LiveCode} key=${slot} id=${id} slot=${slot} onShown=${() => setWanted(0)} />`;
}

function LiveCode({ id, slot, onShown }) {
  const { data, error } = usePolled(() => current(id, slot), CODE_EVERY_MS, [id, slot]);
  const now = useNow();
  useEffect(() => { if (data) onShown(); }, [data?.url]);
  const waiting = error && ['qr_not_ready', 'already_linked', 'qr_not_available'].includes(error.code);
  if (error && !waiting) return html`<${ErrorNote} error=${error} />`;
  const left = data ? Math.max(0, (data.until - now) / 1000) : 0;
  if (!data || waiting || left === 0) return html`<div class="qr empty" role="status"><span class="spinner"></span><p>${t('link.qr.soon')}</p></div>`;
  return html`<div class="stack tight">
    <div class="qr"><img src=${data.url} alt=${t('link.qr.alt')} /></div>
    <p class="small quiet numbers">${t('link.qr.left', { left: duration(left) })}</p>
    <div class="meter" aria-hidden="true"><span style=${{ width: `${Math.min(100, left * 5)}%` }}></span></div>
  </div>`;
}

let lastCode = { qr: null, url: null };

/** The code as a picture that stays the same while the code does: `{ url, until }`. */
async function current(id, slot) {
  const asked = Date.now();
  const { qr, expires_in_s: expiresInS } = await api.get(`/api/qr/me/${id}`, { slot, format: 'json' });
  if (qr !== lastCode.qr) {
    const picture = await api.blob(`/api/qr/me/${id}?slot=${slot}&format=png`);
    if (lastCode.url) URL.revokeObjectURL(lastCode.url);
    lastCode = { qr, url: URL.createObjectURL(picture) };
  }
  return { url: lastCode.url, until: asked + expiresInS * 1000 };
}

function PairingCode({ id, slot, number = '' }) {
  const [typed, setTyped] = useState(number);
  const [code, setCode] = useState(null);
  const now = useNow();
  const ask = useAction(async () => {
    const found = await api.post(`/api/sessions/${id}/pairing-code`, { phone: typed, slot });
    setCode({ ...found, until: Date.now() + found.expires_in_s * 1000 });
  });
  const left = code ? (code.until - now) / 1000 : 0;
  return html`<form class="stack" onSubmit=${(event) => { event.preventDefault(); ask.run(); }}>
    <${TextField} label=${t('link.phone')} hint=${t('link.phone.hint')} value=${typed} onValue=${setTyped} type="tel" inputmode="tel" placeholder="+1 415 555 0100" required readonly=${Boolean(number)} />
    <${ErrorNote} error=${ask.error} />
    ${code && left > 0 && html`<div class="stack tight" role="status"><p class="pairing-code mono">${code.code}</p><${Copyable} text=${code.code} /><p class="small quiet numbers">${t('link.code.left', { left: duration(left) })}</p></div>`}
    ${code && left <= 0 && html`<${Note} tone="warn" slim live>${t('link.code.over')}<//>`}
    <div><${Button} kind="main" type="submit" busy=${ask.busy}>${t('link.code.ask')}<//></div>
  </form>`;
}

/** The first device works; the standby comes in the same flow, now or later. */
function Linked({ session, second, changed }) {
  const add = useAction(async () => {
    await api.post(`/api/sessions/${session.session_id}/standby`);
    await changed();
  });
  const ready = session.standby.state === 'ready';
  return html`
    <${Note} tone="good" title=${t('link.linked', { phone: phone(session.phone) })} live>${session.reason.sentence}<//>
    ${ready ? html`<${Card} title=${t('link.all_done')}><div class="stack"><p>${session.standby.sentence}</p><div class="row"><${Button} kind="main" icon="chat" href=${to('chats', session.session_id)}>${t('link.to_chats')}<//><${Button} href=${to('overview')}>${t('nav.overview')}<//></div></div><//>`
    : second ? html`<div class="stack"><h2>${t('link.standby.title')} <${Badge} tone="info" icon="shield">${t(`standby.${session.standby.state}`)}<//></h2><${Codes} id=${session.session_id} slot="b" device=${second} number=${`+${session.phone}`} /></div>`
    : html`<${Card} title=${t('link.standby.title')}><div class="stack">
        <p>${t('link.standby.text')}</p>
        <p class="quiet">${session.standby.sentence}</p>
        <${ErrorNote} error=${add.error} />
        <div class="row"><${Button} kind="main" icon="shield" busy=${add.busy} onClick=${add.run}>${t('link.standby.add')}<//><${Button} href=${to('overview')}>${t('link.standby.later')}<//></div>
      </div><//>`}`;
}
