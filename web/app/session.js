// Who is signed in: through Firebase in the cloud, with the key of the local run in the demo. The rest of the console asks `user`.
import { actAs, api } from './api.js';
import { config } from './config.js';
import { closeFirestore } from './firestore.js';
import { observable, useObservable } from './observable.js';

const KEY = 'keepline.key';
const REDIRECTED = 'keepline.redirected';

/** undefined while that is being found out, null for nobody, else `{ id, name, operator }`. */
export const user = observable(undefined);
/** Why somebody was signed out, or could not sign in: an error to show above the form, or null. */
export const signInError = observable(null);

export const useUser = () => useObservable(user);

let firebase = null; // { sdk, auth } where people sign in through Firebase

/** Find out who is signed in already. */
export async function startSession() {
  if (config.sign_in === 'key') {
    const key = sessionStorage.getItem(KEY);
    if (key) await signInWithKey(key).catch((error) => { user.value = null; signInError.value = error; });
    else user.value = null;
    return;
  }
  const [{ initializeApp }, sdk] = await Promise.all([import('../vendor/firebase-app.js'), import('../vendor/firebase-auth.js')]);
  // Google's page comes back to the address that the console itself has, so that no cookie of a third party is needed.
  const app = initializeApp({ ...config.firebase, authDomain: location.host });
  // Without a resolver for pop-ups nothing is loaded from Google until somebody asks for its page.
  const auth = sdk.initializeAuth(app, { persistence: [sdk.indexedDBLocalPersistence, sdk.browserLocalPersistence] });
  firebase = { sdk, auth };
  if (sessionStorage.getItem(REDIRECTED)) {
    sessionStorage.removeItem(REDIRECTED);
    await sdk.getRedirectResult(auth, sdk.browserPopupRedirectResolver).catch((error) => { signInError.value = error; });
  }
  sdk.onAuthStateChanged(auth, (found) => signedInThroughFirebase(found).catch((error) => {
    signInError.value = error;
    user.value = null;
  }));
}

async function signedInThroughFirebase(found) {
  if (!found) {
    user.value = null;
    return;
  }
  actAs(async () => ({ Authorization: `Bearer ${await found.getIdToken()}` }), refused);
  const { claims } = await found.getIdTokenResult();
  user.value = { id: found.uid, name: found.displayName || found.email || found.uid, operator: claims.operator === true };
}

/** A key that came with the address: taken out of it at once, so that it stays in no history. Whether there was one. */
export function takeKeyFromAddress() {
  const found = /^#key=(.+)$/.exec(location.hash);
  if (!found) return false;
  history.replaceState(null, '', location.pathname);
  sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
  return true;
}

/** Sign in with an API key; throws the API's error if it is not good. */
export async function signInWithKey(key) {
  actAs(async () => ({ 'X-Api-Key': key }), refused);
  try {
    await api.get('/api/sessions');
  } catch (error) {
    sessionStorage.removeItem(KEY);
    throw error;
  }
  sessionStorage.setItem(KEY, key);
  signInError.value = null;
  user.value = { id: config.user_id, name: config.user_id, operator: true };
}

export async function signInWithPassword(email, password) {
  await firebase.sdk.signInWithEmailAndPassword(firebase.auth, email, password);
  signInError.value = null;
}

export async function resetPassword(email) {
  await firebase.sdk.sendPasswordResetEmail(firebase.auth, email);
}

export async function signInWithGoogle() {
  sessionStorage.setItem(REDIRECTED, 'yes');
  const { sdk, auth } = firebase;
  await sdk.signInWithRedirect(auth, new sdk.GoogleAuthProvider(), sdk.browserPopupRedirectResolver);
}

/** Leave nothing behind: the page is loaded anew, so that nothing of the user stays in memory either. */
export async function signOut() {
  sessionStorage.clear();
  await closeFirestore();
  if (firebase) await firebase.sdk.signOut(firebase.auth);
  location.replace('/');
}

function refused(error) {
  if (!user.value) return; // The form that asks shows it.
  signInError.value = error;
  sessionStorage.removeItem(KEY);
  user.value = null;
}
