// The page of whoever is not signed in: e-mail and password or Google in the cloud, the run's key on one's own machine.
import { html, useState } from './html.js';
import { config } from './config.js';
import { has, t, useLanguage } from './i18n.js';
import { Button, ErrorNote, Note, TextField } from './kit.js';
import { Brand, LanguageChoice } from './layout.js';
import { useAction } from './live.js';
import { useObservable } from './observable.js';
import { resetPassword, signInError, signInWithGoogle, signInWithKey, signInWithPassword } from './session.js';

export function SignIn() {
  useLanguage();
  const earlier = useObservable(signInError);
  return html`<main class="sign-in"><div class="card">
    <div class="stack tight"><${Brand} /><h1 class="seen-by-readers-only">${t('sign_in.title')}</h1><p class="quiet">${t('sign_in.lead')}</p></div>
    ${earlier && html`<${ErrorNote} error=${readable(earlier)} />`}
    ${config.sign_in === 'key' ? html`<${KeyForm} />` : html`<${PasswordForm} />`}
    <${LanguageChoice} />
  </div></main>`;
}

function KeyForm() {
  const [key, setKey] = useState('');
  const action = useAction(() => signInWithKey(key.trim()));
  return html`<form onSubmit=${submitted(action.run)}>
    <${TextField} label=${t('sign_in.key')} hint=${t('sign_in.key.hint')} value=${key} onValue=${setKey} type="password" required autofocus name="key" spellcheck=${false} />
    <${ErrorNote} error=${action.error} />
    <${Button} kind="main" type="submit" busy=${action.busy}>${t('sign_in.action')}<//>
  </form>`;
}

function PasswordForm() {
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [sent, setSent] = useState(false);
  const signIn = useAction(() => signInWithPassword(email, password));
  const google = useAction(signInWithGoogle);
  const reset = useAction(async () => { await resetPassword(email); setSent(true); });
  const error = signIn.error ?? google.error ?? reset.error;
  return html`<form onSubmit=${submitted(signIn.run)}>
    <${TextField} label=${t('sign_in.email')} value=${email} onValue=${setEmail} type="email" autocomplete="username" required autofocus />
    <${TextField} label=${t('sign_in.password')} value=${password} onValue=${setPassword} type="password" autocomplete="current-password" required />
    ${error && html`<${ErrorNote} error=${readable(error)} />`}
    ${sent && html`<${Note} tone="good" live>${t('sign_in.reset_sent')}<//>`}
    <${Button} kind="main" type="submit" busy=${signIn.busy}>${t('sign_in.action')}<//>
    <${Button} kind="plain" small disabled=${!email} busy=${reset.busy} onClick=${reset.run}>${t('sign_in.reset')}<//>
    <div class="or">${t('sign_in.or')}</div>
    <${Button} icon="user" busy=${google.busy} onClick=${google.run}>${t('sign_in.google')}<//>
  </form>`;
}

function submitted(run) {
  return (event) => {
    event.preventDefault();
    run();
  };
}

/** Firebase's errors have codes (`auth/invalid-credential`) and sentences for programmers; ours are for people. */
function readable(error) {
  if (!error.code?.startsWith('auth/')) return error;
  const kind = error.code.slice('auth/'.length);
  return { code: error.code, message: has(`sign_in.error.${kind}`) ? t(`sign_in.error.${kind}`) : t('sign_in.error.other'), hint: null };
}
