// The simulator's control API, by which the demo's WhatsApp is broken. Only the chaos corner uses it, and that is there in the demo only.
import { ApiError } from './api.js';
import { config } from './config.js';

const BAN_S = 60;
const HALF_OPEN_S = 20;
const SILENT_S = 20;
const OUTAGE_S = 10;
const BANNED = 402; // a temporary ban
const BAN_CODE = 101; // sent to too many people

async function call(method, path, body) {
  const response = await fetch(`${config.simulator}${path}`, { method, body: body && JSON.stringify(body), headers: body && { 'Content-Type': 'application/json' } });
  const answer = await response.json();
  if (!response.ok) throw new ApiError(response.status, answer.error, response.headers);
  return answer;
}

const fault = (kind, number, more = {}) => call('POST', '/faults', { kind, ...(number ? { target: { number } } : {}), ...more });

export const simulator = {
  faults: async () => (await call('GET', '/faults')).faults,
  mend: async () => {
    await call('DELETE', '/faults');
    await call('DELETE', '/bans');
  },
};

/** What can be broken: `strike(number)` does it to the phone number's linked devices, or to everybody. */
export const FAULTS = [
  { name: 'reset', icon: 'bolt', strike: (number) => fault('reset', number) },
  { name: 'silence', icon: 'pause', strike: (number) => fault('stop_answering', number, { when: { for_s: SILENT_S } }) },
  { name: 'half_open', icon: 'link', strike: (number) => fault('half_open', number, { when: { for_s: HALF_OPEN_S } }) },
  { name: 'outage', icon: 'globe', strike: () => fault('outage', null, { when: { for_s: OUTAGE_S } }) },
  {
    name: 'ban', icon: 'ban',
    strike: async (number) => {
      await fault('login_failure', number, { code: BANNED, ban_code: BAN_CODE, expire_s: BAN_S, when: { for_s: BAN_S } });
      await fault('reset', number);
    },
  },
  {
    name: 'log_out', icon: 'out',
    strike: async (number) => {
      const { devices } = await call('GET', `/phones/${number}/devices`);
      await Promise.all(devices.map((one) => call('DELETE', `/phones/${number}/devices/${one.device}`)));
    },
  },
];
