// The address behind `#`, which needs nothing from the server: `#/chats/support/1415…@s.whatsapp.net?kind=text`.
import { observable, useObservable } from './observable.js';

const address = observable(read());

function read() {
  const [path, query] = (location.hash.slice(1) || '/').split('?');
  return { parts: path.split('/').filter(Boolean).map(decodeURIComponent), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function followAddress() {
  address.value = read(); // a key that came with it has been taken out by now
  addEventListener('hashchange', () => { address.value = read(); });
}

/** `{ parts, query }` of the address. */
export function useAddress() {
  return useObservable(address);
}

/** The address of a page: `to('chats', 'support')`, `to('queue', {state: 'failed'})`. */
export function to(...parts) {
  const query = typeof parts.at(-1) === 'object' ? parts.pop() : {};
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return `#/${parts.map(encodeURIComponent).join('/')}${given.length ? `?${new URLSearchParams(given)}` : ''}`;
}

export function go(...parts) {
  location.hash = to(...parts);
}

/** As `go`, leaving no step for the back button: for filters. */
export function replace(...parts) {
  history.replaceState(null, '', to(...parts));
  address.value = read();
}
