// Messages in one shape, whether they come from a listener (a row of the outbox, or what WhatsApp brought) or from the API.
import { t } from './i18n.js';

/** `{ id, chat, out, kind, text, content, state, at, from, error, media, revoked, edited }`; `at` is a Date. */
export function ofRow(row) {
  return shape(row, { id: row.id, out: true, at: row.accepted_at ?? new Date(), text: textOf(row.content), from: null, errorCode: row.error_code });
}

export function ofHeard(row) {
  const state = row.read_at ? 'read' : row.state;
  const file = row.content?.media ? { ...row.content.media, state: row.media?.state ?? 'pending' } : null;
  return { ...shape(row, { id: row.message_id, out: row.direction === 'out', at: row.at, text: row.text, from: row.from }), state, file };
}

function shape(row, { id, out, at, text, from, errorCode = null }) {
  const edit = Object.values(row.edits ?? {}).sort((a, b) => b.at - a.at)[0];
  const revoked = Boolean(row.revoked_at);
  return {
    id, out, at, from, errorCode, revoked, edited: Boolean(edit), chat: row.chat, kind: row.kind,
    text: revoked ? null : edit?.text ?? text, content: revoked ? {} : row.content ?? {}, state: row.send_at > new Date() && row.state === 'queued' ? 'scheduled' : row.state,
    file: row.content?.media ?? null, error: null, sendAt: row.send_at ?? null, attempts: row.attempts ?? null, times: row.times ?? {},
  };
}

/** A message as `GET /api/messages` gives it. */
export function ofApi(found) {
  const at = new Date(found.times.accepted ?? found.times.delivered ?? found.times.sent ?? found.times.recorded);
  return {
    id: found.message_id, out: found.direction === 'out', at, from: found.from, errorCode: found.error?.code ?? null, error: found.error,
    revoked: Boolean(found.revoked_at), edited: Boolean(found.edited_at), chat: found.chat, kind: found.kind, text: found.text, content: found,
    state: found.state, file: found.media ?? null, sendAt: found.send_at ? new Date(found.send_at) : null, attempts: found.attempts ?? null, times: found.times,
  };
}

function textOf(content = {}) {
  return content.text ?? content.caption ?? content.poll?.question ?? content.location?.name ?? content.reaction?.emoji ?? content.edit?.text ?? (content.contacts ?? []).map((one) => one.name).join(', ');
}

/** A message in one line, for lists. */
export function inShort(message) {
  if (message.revoked) return t('message.revoked');
  if (message.kind === 'text' || message.kind === 'edit') return message.text ?? '';
  return [t(`message.kind.${KINDS.has(message.kind) ? message.kind : 'other'}`), message.text || message.file?.file_name].filter(Boolean).join(': ');
}
const KINDS = new Set(['image', 'video', 'audio', 'document', 'sticker', 'location', 'contact', 'poll', 'vote', 'reaction', 'edit', 'revoke', 'unreadable', 'unsupported']);

export const kindName = (kind) => t(`message.kind.${KINDS.has(kind) ? kind : 'other'}`);

/** A WhatsApp address as people write it: `+1 415…`, or the end of a group's. */
export function chatName(chat, groups = {}) {
  if (groups[chat]) return groups[chat];
  if (chat === 'status@broadcast') return t('chats.status');
  const [name, server] = chat.split('@');
  if (server === 'g.us') return t('chats.group', { end: name.slice(-4) });
  return server === 'lid' ? t('chats.hidden_number', { end: name.slice(-4) }) : phone(name);
}

// Country codes (E.164) have three digits unless they are among these.
const SHORT_CODES = /^(1|7|20|27|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])/;

/** Digits as people write them: the country code with a plus, the rest in groups. */
export function phone(digits) {
  if (!digits) return '';
  const code = SHORT_CODES.exec(digits)?.[0] ?? digits.slice(0, 3);
  const rest = digits.slice(code.length);
  // Groups of three; what is left over makes the last one longer.
  const groups = rest.match(/\d{3}(?=\d{3})|\d+/g) ?? [];
  return `+${[code, ...groups].join(' ')}`;
}

export function personName(person) {
  if (!person) return '';
  return person.phone ? phone(person.phone) : t('chats.hidden_number', { end: (person.lid ?? '').slice(-4) });
}
