// What the first pages listen to, in one place: each needs its rule (infra/firestore.rules) and its index (infra/firestore.indexes.json).
// The user's own id is asked for by app/live.js.
const NEWEST_OF_ACCOUNT = 300;

/** The id of the account behind a session. */
export function accountOf(userId, sessionId) {
  return `${userId}_${sessionId}`;
}

/** What the API sent from an account, the newest; of one chat, or in some states, if that is said. */
export function sentFrom(account, { chat, states, limit = NEWEST_OF_ACCOUNT } = {}) {
  const where = [['account', '==', account]];
  if (chat) where.push(['chat', '==', chat]);
  if (states) where.push(['state', 'in', states]);
  return { collection: 'outbox', where, order: [['accepted_at', 'desc']], limit };
}

/** What WhatsApp brought to an account, the newest; of one chat if that is said. */
export function heardBy(account, { chat, limit = NEWEST_OF_ACCOUNT } = {}) {
  const where = [['account', '==', account]];
  if (chat) where.push(['chat', '==', chat]);
  return { collection: 'messages', group: true, where, order: [['at', 'desc']], limit };
}
