// Replay of a time: the API replays by ids, so those of the time are collected first.
import { html, useState } from './html.js';
import { api } from './api.js';
import { t } from './i18n.js';
import { Button, Dialog, ErrorNote, TextField, toast } from './kit.js';
import { useAction } from './live.js';

const PAGE = 100; // what the API lists at a time
const AT_ONCE = 200; // what it replays at a time
const PAGES_MAX = 50;
const HOUR_MS = 3_600_000;

export function ReplayRange({ path, onDone, onClose }) {
  const [from, setFrom] = useState(local(Date.now() - 24 * HOUR_MS));
  const [until, setUntil] = useState(local(Date.now()));
  const replay = useAction(async () => {
    const ids = await deadBetween(path, new Date(from), new Date(until));
    let replayed = 0;
    for (let start = 0; start < ids.length; start += AT_ONCE) {
      replayed += (await api.post(`${path}/replay`, { events: ids.slice(start, start + AT_ONCE) })).replayed;
    }
    toast(t('webhooks.replayed', { n: replayed }));
    await onDone();
    onClose();
  });
  const submit = (event) => {
    event.preventDefault();
    replay.run();
  };
  return html`<${Dialog} title=${t('webhooks.replay.range')} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <p>${t('webhooks.replay.range.text')}</p>
      <${TextField} label=${t('range.begin')} type="datetime-local" value=${from} onValue=${setFrom} required />
      <${TextField} label=${t('range.until')} type="datetime-local" value=${until} onValue=${setUntil} required />
      <${ErrorNote} error=${replay.error} />
      <div class="actions"><${Button} onClick=${onClose}>${t('action.cancel')}<//><${Button} kind="main" type="submit" busy=${replay.busy} disabled=${!(from < until)}>${t('webhooks.replay')}<//></div>
    </form>
  <//>`;
}

/** Oldest first, as they are to be delivered. */
async function deadBetween(path, from, until) {
  const ids = [];
  let before = new Date(until.getTime() + 60_000).toISOString(); // the field has whole minutes: all of the last one
  for (let page = 0; page < PAGES_MAX && before; page += 1) {
    const { deliveries, next_before: next } = await api.get(`${path}/deliveries`, { state: 'dead', limit: PAGE, before });
    ids.push(...deliveries.filter((one) => new Date(one.queued_at) >= from).map((one) => one.event_id));
    before = next && new Date(next) > from ? next : null;
  }
  return ids.reverse();
}

/** What a field for a local time takes. */
function local(ms) {
  const at = new Date(ms);
  return new Date(ms - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
