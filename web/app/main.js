// The console's start: configuration, who is signed in, then the page that the address names.
import { Component, html, render, useEffect, useState } from './html.js';
import { loadConfig } from './config.js';
import { t, useLanguage } from './i18n.js';
import { Button, Empty, Loading } from './kit.js';
import { Layout } from './layout.js';
import { followAddress, to, useAddress } from './router.js';
import { routesFor } from './routes.js';
import { SignIn } from './sign_in.js';
import { startSession, takeKeyFromAddress, useUser } from './session.js';

function App() {
  useLanguage();
  const user = useUser();
  if (user === undefined) return html`<main class="sign-in"><${Loading} what=${t('loading.session')} /></main>`;
  if (user === null) return html`<${SignIn} />`;
  return html`<${Pages} user=${user} />`;
}

function Pages({ user }) {
  const { parts, query } = useAddress();
  const [name, ...rest] = parts.length ? parts : ['overview'];
  const route = routesFor(user).find((one) => one.name === name);
  return html`<${Layout} page=${name}>
    ${route ? html`<${Guard} key=${name}><${Page} route=${route} parts=${rest} query=${query} /><//>` : html`<${Empty} icon="question" title=${t('missing.title')} actions=${html`<${Button} href=${to()}>${t('nav.overview')}<//>`} />`}
  <//>`;
}

/** Loads a page's module, and has the heading take the focus, except at the very start. */
function Page({ route, parts, query }) {
  const [Loaded, setLoaded] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    document.title = `${t(`nav.${route.name}`)} · Keepline`;
    route.load().then((module) => setLoaded(() => module.default), setError);
  }, [route]);
  useEffect(() => {
    if (!Loaded) return;
    if (moved) document.querySelector('[data-page-title]')?.focus();
    moved = true;
  }, [Loaded]);
  if (error) return html`<${Broken} />`;
  return Loaded ? html`<${Loaded} parts=${parts} query=${query} />` : html`<${Loading} />`;
}
let moved = false;

/** A page that breaks says so and leaves the menu standing. */
class Guard extends Component {
  constructor() {
    super();
    this.state = { broken: false };
  }

  componentDidCatch(error) {
    console.error(error);
    this.setState({ broken: true });
  }

  render({ children }, { broken }) {
    return broken ? html`<${Broken} />` : children;
  }
}

function Broken() {
  return html`<${Empty} icon="warning" title=${t('broken.title')} actions=${html`<${Button} icon="refresh" onClick=${() => location.reload()}>${t('broken.action')}<//>`}>${t('broken.text')}<//>`;
}

async function start() {
  takeKeyFromAddress();
  const root = document.getElementById('app');
  try {
    await loadConfig();
  } catch {
    render(html`<main class="sign-in"><${Broken} /></main>`, root);
    return;
  }
  root.replaceChildren();
  followAddress();
  // The demo's link, opened in a tab where the console is already.
  addEventListener('hashchange', () => { if (takeKeyFromAddress()) location.reload(); });
  render(html`<${App} />`, root);
  await startSession();
}

start();
