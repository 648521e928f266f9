// Documents as they change, through Firestore's listeners under the rules; and the API asked again and again, for what it computes.
//
//   const { rows, loading, error } = useLive({ collection: 'outbox', where: [['account', '==', id]], order: [['accepted_at', 'desc']], limit: 50 })
//
// A query asks for the user's own documents (`tenant == uid`), as the rules demand; `everybody: true` asks for those of the
// installation (`tenant == null`), which operators may read. Times come as Date. Null in place of a query asks for nothing.
import { useCallback, useEffect, useRef, useState } from './html.js';
import { firestore } from './firestore.js';
import { observable } from './observable.js';
import { user } from './session.js';

const RETRY_MS = [1_000, 3_000, 10_000, 30_000]; // after an error a listener is over; it is made anew after these

const troubled = new Map(); // listener → since when (ms) what it shows may be old
/** Null, or since when (ms) something on the screen may be old. */
export const liveTroubleSince = observable(null);

function tell(listener, fine) {
  if (fine) troubled.delete(listener);
  else if (!troubled.has(listener)) troubled.set(listener, Date.now());
  liveTroubleSince.value = troubled.size ? Math.min(...troubled.values()) : null;
}

/** `{ rows, loading, error }`; rows are documents' fields with their `id` and `path`. What came last stays while there is trouble. */
export function useLive(query) {
  return useListener(query && JSON.stringify(query), ({ sdk, db }) => asQuery(sdk, db, query), (snapshot) => snapshot.docs.map(plain), 'rows', []);
}

/** `{ row, loading, error }` of one document; row is null if there is none. */
export function useLiveDocument(path) {
  return useListener(path, ({ sdk, db }) => sdk.doc(db, path), (snapshot) => (snapshot.exists() ? plain(snapshot) : null), 'row', null);
}

function useListener(key, target, read, name, nothing) {
  const [state, setState] = useState({ [name]: nothing, loading: Boolean(key), error: null });
  useEffect(() => {
    setState({ [name]: nothing, loading: Boolean(key), error: null });
    if (!key) return undefined;
    const listener = {};
    let stop = () => {};
    let timer = 0;
    let failures = 0;
    let gone = false;
    const failed = (error) => {
      if (gone) return;
      tell(listener, false);
      setState((before) => ({ ...before, loading: false, error }));
      timer = setTimeout(listen, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
      failures += 1;
    };
    const listen = () => firestore().then((opened) => {
      if (gone) return;
      stop = opened.sdk.onSnapshot(target(opened), { includeMetadataChanges: true }, (snapshot) => {
        const old = snapshot.metadata.fromCache; // the first answer, or the network is away
        if (!old) failures = 0;
        if (!old || listener.answered) tell(listener, !old);
        if (old && !listener.answered) return;
        listener.answered = true;
        setState({ [name]: read(snapshot), loading: false, error: null });
      }, failed);
    }).catch(failed);
    listen();
    return () => {
      gone = true;
      clearTimeout(timer);
      stop();
      tell(listener, true);
    };
  }, [key]);
  return state;
}

function asQuery(sdk, db, { collection, group = false, everybody = false, tenant = true, where = [], order = [], limit = 100 }) {
  const from = group ? sdk.collectionGroup(db, collection) : sdk.collection(db, collection);
  const whose = tenant ? [sdk.where('tenant', '==', everybody ? null : user.value.id)] : [];
  return sdk.query(
    from, ...whose,
    ...where.map(([field, operator, value]) => sdk.where(field, operator, value)),
    ...order.map(([field, direction]) => sdk.orderBy(field, direction)),
    sdk.limit(limit),
  );
}

function plain(document) {
  return { ...dates(document.data()), id: document.id, path: document.ref.path };
}

function dates(value) {
  if (Array.isArray(value)) return value.map(dates);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.toDate === 'function') return value.toDate();
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, dates(inner)]));
}

/**
 * What the API answers, asked again every `everyMs` while the page is on screen: `{ data, loading, error, at, refresh }`. What came last
 * stays while there is an error. `ask` is called anew at once when one of `needs` changes; with `everyMs` null it is asked once.
 */
export function usePolled(ask, everyMs, needs = []) {
  const [state, setState] = useState({ data: null, loading: true, error: null, at: null });
  const refresher = useRef(() => Promise.resolve());
  useEffect(() => {
    let gone = false;
    let timer = 0;
    let running = null;
    const once = () => {
      clearTimeout(timer);
      running ??= ask().then(
        (data) => { if (!gone) setState({ data, loading: false, error: null, at: Date.now() }); },
        (error) => { if (!gone) setState((before) => ({ ...before, loading: false, error })); },
      ).finally(() => {
        running = null;
        if (!gone && everyMs && !document.hidden) timer = setTimeout(once, everyMs);
      });
      return running;
    };
    const shown = () => { if (!document.hidden && everyMs) once(); };
    setState((before) => ({ ...before, loading: true }));
    // After a change the answer under way may be older than it.
    refresher.current = () => (running ? running.then(() => (gone ? null : once())) : once());
    once();
    document.addEventListener('visibilitychange', shown);
    return () => {
      gone = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', shown);
    };
  }, needs);
  const refresh = useCallback(() => refresher.current(), []);
  return { ...state, refresh };
}

/** Something that a person sets off: `{ run, busy, error, clear }`. `run` gives true if it worked; the error is kept to be shown. */
export function useAction(act) {
  const [state, setState] = useState({ busy: false, error: null });
  const latest = useRef(act);
  latest.current = act;
  const run = useCallback(async (...given) => {
    setState({ busy: true, error: null });
    try {
      await latest.current(...given);
      setState({ busy: false, error: null });
      return true;
    } catch (error) {
      setState({ busy: false, error });
      return false;
    }
  }, []);
  const clear = useCallback(() => setState({ busy: false, error: null }), []);
  return { ...state, run, clear };
}

/** The present time in ms, anew every `everyMs`, for ages and countdowns. */
export function useNow(everyMs = 1_000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
