// What stands around every page: the menu, whose session it is, and a line that says when what is shown may be old.
import { html, useEffect, useRef, useState } from './html.js';
import { apiSilentSince } from './api.js';
import { LANGUAGES, setLanguage, t, useLanguage } from './i18n.js';
import { Icon } from './icons.js';
import { Button, Note, Toasts } from './kit.js';
import { liveTroubleSince, useNow } from './live.js';
import { useObservable } from './observable.js';
import { to, useAddress } from './router.js';
import { GROUPS, routesFor } from './routes.js';
import { signOut, useUser } from './session.js';
import { setTheme, useTheme } from './theme.js';

const TROUBLE_SHOWN_AFTER_MS = 2_000; // a moment's pause is nobody's business

export function Layout({ page, children }) {
  const [menu, setMenu] = useState(false);
  const address = useAddress();
  useEffect(() => setMenu(false), [address]);
  return html`
    <a class="skip" href="#content" onClick=${skip}>${t('nav.skip')}</a>
    <div class="frame">
      <div class="side"><${Menu} page=${page} /></div>
      <header class="top">
        <${Brand} />
        <${Button} kind="plain" icon="menu" label=${t('nav.menu')} aria-expanded=${menu} onClick=${() => setMenu(true)} />
      </header>
      <div class="grow">
        <${Trouble} />
        <main class="content" id="content" tabindex="-1"><div class="inside">${children}</div></main>
      </div>
    </div>
    ${menu && html`<${Drawer} onClose=${() => setMenu(false)}><${Menu} page=${page} /><//>`}
    <${Toasts} />`;
}

function skip(event) {
  event.preventDefault(); // the address behind # is the page's
  document.getElementById('content').focus();
}

export function Brand() {
  return html`<a class="brand" href="#/"><img src="/style/icon.svg" alt="" />Keepline</a>`;
}

function Menu({ page }) {
  const user = useUser();
  const routes = routesFor(user);
  return html`
    <${Brand} />
    <nav class="nav" aria-label=${t('nav.label')}>
      ${GROUPS.filter((group) => routes.some((route) => route.group === group)).map((group) => html`<div>
        <h2>${t(`nav.group.${group}`)}</h2>
        <ul>${routes.filter((route) => route.group === group).map((route) => html`<li><a href=${to(route.name)} aria-current=${route.name === page ? 'page' : undefined}><${Icon} name=${route.icon} />${t(`nav.${route.name}`)}</a></li>`)}</ul>
      </div>`)}
    </nav>
    <div class="foot">
      <div class="row tight"><${LanguageChoice} /><${ThemeChoice} /></div>
      <div class="row apart"><span class="who small quiet"><${Icon} name="user" /><span>${user.name}</span></span><${Button} kind="plain" small icon="out" onClick=${signOut}>${t('action.sign_out')}<//></div>
    </div>`;
}

export function LanguageChoice() {
  const language = useLanguage();
  return html`<label class="grow"><span class="seen-by-readers-only">${t('nav.language')}</span>
    <select class="input small" value=${language} onChange=${(event) => setLanguage(event.target.value)}>
      ${Object.entries(LANGUAGES).map(([tag, name]) => html`<option value=${tag} selected=${tag === language}>${name}</option>`)}
    </select></label>`;
}

function ThemeChoice() {
  const theme = useTheme();
  return html`<label class="grow"><span class="seen-by-readers-only">${t('nav.theme')}</span>
    <select class="input small" value=${theme} onChange=${(event) => setTheme(event.target.value)}>
      ${['auto', 'light', 'dark'].map((one) => html`<option value=${one} selected=${one === theme}>${t(`theme.${one}`)}</option>`)}
    </select></label>`;
}

function Drawer({ onClose, children }) {
  const box = useRef(null);
  useEffect(() => box.current.showModal(), []);
  const outside = (event) => { if (event.target === box.current) onClose(); };
  return html`<dialog class="drawer" ref=${box} aria-label=${t('nav.menu')} onCancel=${(event) => { event.preventDefault(); onClose(); }} onMouseDown=${outside}>
    <div class="side">${children}<${Button} onClick=${onClose}>${t('action.close')}<//></div>
  </dialog>`;
}

/** Says that the network, the API or Firestore is away, and since when; it goes by itself when they are back. */
function Trouble() {
  const now = useNow();
  const silent = useObservable(apiSilentSince);
  const live = useObservable(liveTroubleSince);
  const began = [silent, live].filter(Boolean);
  const shown = began.length > 0 && now - Math.min(...began) > TROUBLE_SHOWN_AFTER_MS;
  const sentence = navigator.onLine ? t(silent ? 'trouble.api' : 'trouble.live') : t('trouble.offline');
  return html`<div class="trouble" role="status">${shown && html`<${Note} tone="warn" slim>${sentence}<//>`}</div>`;
}
