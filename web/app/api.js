// The HTTP API, as whoever is signed in. Everything that changes something goes through here; errors have the API's own words.
import { observable } from './observable.js';
import { t } from './i18n.js';

const TIMEOUT_MS = 20_000;
const UPLOAD_TIMEOUT_MS = 180_000;

/** Null while the API answers; else since when (ms) it does not. */
export const apiSilentSince = observable(null);

let credentials = async () => ({});
let onRefused = () => {};

/** Who asks from now on: `headers()` gives what each request carries; `refused` is called when that is not good any more. */
export function actAs(headers, refused) {
  credentials = headers;
  onRefused = refused;
}

/** A request that was refused or had no answer. `code`, `message` and `hint` are the API's, and can be shown as they are. */
export class ApiError extends Error {
  constructor(status, { code, message, hint, ...details }, headers) {
    super(message);
    Object.assign(this, { status, code, hint, details });
    this.retryAfterS = Number(headers?.get('Retry-After')) || null;
    this.requestId = headers?.get('X-Request-Id') ?? null;
  }
}

export const api = {
  get: (path, query) => call('GET', path + asked(query)),
  post: (path, body, headers) => call('POST', path, body, headers),
  patch: (path, body) => call('PATCH', path, body),
  put: (path, body) => call('PUT', path, body),
  delete: (path) => call('DELETE', path),
  /** An image or a file of the API, as a Blob: with credentials, which an <img> cannot send. */
  blob: async (path) => (await request('GET', path)).blob(),
  /** Upload a File; the answer names its `media_id`. */
  upload: async (file) => {
    const headers = { 'Content-Type': file.type || 'application/octet-stream' };
    const response = await request('POST', `/api/media${asked({ file_name: file.name })}`, { body: file, headers, timeoutMs: UPLOAD_TIMEOUT_MS });
    return response.json();
  },
};

async function call(method, path, body, headers = {}) {
  const options = body === undefined ? { headers } : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers } };
  const response = await request(method, path, options);
  return response.status === 204 ? null : response.json();
}

async function request(method, path, { body, headers = {}, timeoutMs = TIMEOUT_MS } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method, body, cache: 'no-store', redirect: 'error',
      headers: { ...headers, ...(await credentials()) },
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    apiSilentSince.value ??= Date.now();
    throw new ApiError(0, { code: 'no_answer', message: t('error.no_answer'), hint: t('error.no_answer.hint') });
  }
  apiSilentSince.value = null;
  if (response.ok) return response;
  const error = new ApiError(response.status, await said(response), response.headers);
  if (response.status === 401) onRefused(error);
  throw error;
}

async function said(response) {
  try {
    return (await response.json()).error;
  } catch {
    return { code: `http_${response.status}`, message: t('error.unreadable', { status: String(response.status) }), hint: t('error.no_answer.hint') };
  }
}

function asked(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return given.length ? `?${new URLSearchParams(given)}` : '';
}
