// Firestore, as whoever is signed in: loaded when somebody is, closed when they leave. Read through app/live.js.
import { config } from './config.js';

let opened = null;

/** `{ sdk, db }`, once. */
export function firestore() {
  opened ??= open();
  return opened;
}

async function open() {
  const [{ initializeApp, getApps }, sdk] = await Promise.all([import('../vendor/firebase-app.js'), import('../vendor/firebase-firestore.js')]);
  if (config.sign_in === 'firebase') return { sdk, db: sdk.getFirestore(getApps()[0]) };
  // A local run: hosting passes what comes to this page's own address on to the emulator, whose tokens nobody signs.
  const db = sdk.getFirestore(initializeApp({ projectId: config.project }));
  const mockUserToken = { sub: config.user_id, operator: true };
  sdk.connectFirestoreEmulator(db, location.hostname, Number(location.port), { mockUserToken });
  return { sdk, db };
}

export async function closeFirestore() {
  if (!opened) return;
  const { sdk, db } = await opened;
  opened = null;
  await sdk.terminate(db);
}
