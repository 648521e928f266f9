// Chats of a number: read, and send, with each message's state as it changes. What is here comes from Firestore's listeners; sending, and
// what only the API knows (that a message is on its way at this moment, older messages, groups' names), from the API.
import { html, useEffect, useMemo, useRef, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { clockTime, dayName, number, t } from '../app/i18n.js';
import { Icon } from '../app/icons.js';
import { Button, Dialog, Empty, ErrorNote, Loading, MessageState, Note, PageHead, SessionState, TextField, Time, toast } from '../app/kit.js';
import { useAction, useLive, usePolled } from '../app/live.js';
import { chatName, inShort, kindName, ofApi, ofHeard, ofRow, personName } from '../app/messages.js';
import { accountOf, heardBy, sentFrom } from '../app/queries.js';
import { go, to } from '../app/router.js';
import { useUser } from '../app/session.js';
import { NoSession, SessionChoice, useSessions } from '../app/session_choice.js';

const UNSETTLED_EVERY_MS = 1_000;
const PAGE = 50;
const CAPTION_KINDS = new Set(['image', 'video', 'document']);

export default function Chats({ parts: [sessionId, chat] }) {
  const { sessions, session, loading, error, refresh } = useSessions(sessionId);
  const [starting, setStarting] = useState(false);
  return html`
    <div class=${chat ? 'wide-only' : ''}><${PageHead} title=${t('nav.chats')} actions=${session && html`<${SessionChoice} page="chats" sessions=${sessions} session=${session} /><${Button} kind="main" icon="plus" onClick=${() => setStarting(true)}>${t('chats.new')}<//>`} /></div>
    <${ErrorNote} error=${error} retry=${refresh} />
    ${loading && sessions.length === 0 && html`<${Loading} />`}
    ${!loading && !error && !session && html`<${NoSession} sessions=${sessions} page="chats" />`}
    ${session && html`<${Both} key=${session.session_id} session=${session} chat=${chat} />`}
    ${starting && html`<${NewChat} session=${session} onClose=${() => setStarting(false)} />`}`;
}

function NewChat({ session, onClose }) {
  const [number_, setNumber] = useState('');
  const open = (event) => {
    event.preventDefault();
    onClose();
    go('chats', session.session_id, number_.includes('@') ? number_.trim() : `${number_.replace(/\D/g, '')}@s.whatsapp.net`);
  };
  return html`<${Dialog} title=${t('chats.new')} onClose=${onClose}>
    <form class="stack" onSubmit=${open}>
      <${TextField} label=${t('chats.new.number')} hint=${t('chats.new.hint')} value=${number_} onValue=${setNumber} required autofocus placeholder="+1 415 555 0123" pattern=".*\\d.*" />
      <div class="actions"><${Button} onClick=${onClose}>${t('action.cancel')}<//><${Button} kind="main" type="submit">${t('chats.new.open')}<//></div>
    </form>
  <//>`;
}

function Both({ session, chat }) {
  const account = accountOf(useUser().id, session.session_id);
  const sent = useLive(sentFrom(account));
  const heard = useLive(heardBy(account));
  const groups = useGroups(session);
  const chats = useMemo(() => newestOfEach([...sent.rows.map(ofRow), ...heard.rows.map(ofHeard)]), [sent.rows, heard.rows]);
  const loading = sent.loading || heard.loading;
  return html`<div class="chats ${chat ? 'one-open' : ''}">
    <section class="chat-list card flush" aria-label=${t('chats.list')}>
      ${loading ? html`<div class="pad"><${Loading} /></div>` : chats.length === 0 ? html`<${Empty} icon="chat" title=${t('chats.empty.title')}>${t('chats.empty.text')}<//>`
      : html`<ul>${chats.map(({ newest, unread }) => html`<li key=${newest.chat}><a href=${to('chats', session.session_id, newest.chat)} aria-current=${newest.chat === chat ? 'true' : undefined}>
          <span class="face"><${Icon} name=${newest.chat.endsWith('@g.us') ? 'group' : 'user'} /></span>
          <span class="grow"><span class="row apart tight"><strong class="name">${chatName(newest.chat, groups)}</strong><span class="small quiet"><${Time} at=${newest.at} /></span></span>
          <span class="line"><span class="quiet small">${newest.out && html`<${Tick} state=${newest.state} />`}${inShort(newest)}</span>${unread > 0 && html`<span class="unread" aria-label=${t('chats.unread', { n: unread })}>${number(unread)}</span>`}</span></span>
        </a></li>`)}</ul>`}
      <${ErrorNote} error=${sent.error ?? heard.error} />
    </section>
    ${chat ? html`<${Thread} key=${chat} session=${session} account=${account} chat=${chat} groups=${groups} />` : html`<div class="thread none card"><${Empty} icon="chat" title=${t('chats.choose')} /></div>`}
  </div>`;
}

/** Names of groups by their address; asked once the number is connected, because only WhatsApp knows them. */
function useGroups(session) {
  const connected = session.state === 'connected';
  const { data } = usePolled(async () => (connected ? api.get('/api/groups', { session_id: session.session_id }) : null), null, [session.session_id, connected]);
  return useMemo(() => Object.fromEntries((data?.groups ?? []).map((group) => [group.chat, group.subject])), [data]);
}

function newestOfEach(messages) {
  const chats = new Map();
  for (const message of messages) {
    const chat = chats.get(message.chat) ?? { newest: message, unread: 0 };
    if (message.at > chat.newest.at) chat.newest = message;
    if (!message.out && message.state === 'delivered') chat.unread += 1;
    chats.set(message.chat, chat);
  }
  return [...chats.values()].sort((a, b) => b.newest.at - a.newest.at);
}

// One chat

function Thread({ session, account, chat, groups }) {
  const sent = useLive(sentFrom(account, { chat, limit: PAGE }));
  const heard = useLive(heardBy(account, { chat, limit: PAGE }));
  const [older, setOlder] = useState({ messages: [], before: undefined });
  const live = useMemo(() => [...sent.rows.map(ofRow), ...heard.rows.map(ofHeard)], [sent.rows, heard.rows]);
  const onTheWay = useOnTheWay(session.session_id, chat, live);
  const messages = useMemo(() => inOrder(live, older.messages, onTheWay), [live, older.messages, onTheWay]);
  const earlier = useAction(async () => {
    const before = older.before ?? messages[0]?.at.toISOString();
    const found = await api.get('/api/messages', { session_id: session.session_id, chat, limit: PAGE, before });
    setOlder((had) => ({ messages: [...had.messages, ...found.messages.map(ofApi)], before: found.next_before }));
  });
  const read = useAction(async () => {
    const { read: marked } = await api.post(`/api/chats/${encodeURIComponent(chat)}/read`, { session_id: session.session_id });
    toast(t('chats.marked', { n: marked.length }));
  });
  const unread = messages.filter((one) => !one.out && one.state === 'delivered').length;
  const loading = sent.loading || heard.loading;
  return html`<section class="thread card flush" aria-label=${t('chats.with', { name: chatName(chat, groups) })}>
    <header>
      <span class="narrow-only"><${Button} kind="plain" icon="back" label=${t('chats.back')} href=${to('chats', session.session_id)} /></span>
      <div class="grow"><h2>${chatName(chat, groups)}</h2><p class="small quiet row tight">${session.session_id} <${SessionState} state=${session.state} /></p></div>
      ${unread > 0 && html`<${Button} small icon="checks" label=${t('chats.mark_read')} busy=${read.busy} onClick=${read.run}><span class="wide-only">${t('chats.mark_read')}</span><//>`}
    </header>
    <${Messages} loading=${loading} messages=${messages} isGroup=${chat.endsWith('@g.us')}
      more=${live.length >= PAGE && older.before !== null && html`<${Button} small busy=${earlier.busy} onClick=${earlier.run}>${t('chats.earlier')}<//>`} />
    <${ErrorNote} error=${sent.error ?? heard.error ?? earlier.error ?? read.error} />
    <${Compose} session=${session} chat=${chat} />
  </section>`;
}

/** What the rows do not say of messages that have not left: the API knows which are on their way. States by id. */
function useOnTheWay(sessionId, chat, live) {
  const open = live.some((one) => one.out && ['queued', 'in_doubt', 'failed'].includes(one.state));
  const ask = async () => (open ? (await api.get('/api/messages', { session_id: sessionId, chat, limit: PAGE })).messages : []);
  const { data } = usePolled(ask, open ? UNSETTLED_EVERY_MS : null, [sessionId, chat, open, live]);
  return useMemo(() => Object.fromEntries((data ?? []).map((one) => [one.message_id, one])), [data]);
}

function inOrder(live, older, onTheWay) {
  const byId = new Map(older.map((one) => [one.id, one]));
  for (const one of live) {
    const known = onTheWay[one.id];
    // What a listener says is newer than the answer, but for what rows do not have.
    const state = one.state === 'queued' && ['sending', 'scheduled'].includes(known?.state) ? known.state : one.state;
    byId.set(one.id, { ...one, state, error: known?.error ?? null });
  }
  return [...byId.values()].sort((a, b) => a.at - b.at);
}

function Messages({ loading, messages, more, isGroup }) {
  const box = useRef(null);
  const last = messages.at(-1)?.id;
  useEffect(() => { if (box.current) box.current.scrollTop = box.current.scrollHeight; }, [last, loading]);
  if (loading) return html`<div class="messages"><${Loading} /></div>`;
  if (messages.length === 0) return html`<div class="messages"><${Empty} icon="send" title=${t('chats.thread.empty')} /></div>`;
  let day = '';
  return html`<div class="messages" ref=${box} role="log" aria-label=${t('chats.messages')} tabindex="0">
    ${more && html`<div class="center">${more}</div>`}
    ${messages.map((message) => {
      const today = dayName(message.at);
      const first = today !== day;
      day = today;
      return html`${first && html`<p class="day" key=${`day-${today}`}>${today}</p>`}<${Bubble} key=${message.id} message=${message} isGroup=${isGroup} />`;
    })}
  </div>`;
}

function Bubble({ message, isGroup }) {
  return html`<article class="bubble ${message.out ? 'out' : 'in'}" data-message=${message.id} data-state=${message.state}>
    ${isGroup && !message.out && html`<p class="small strong">${personName(message.from)}</p>`}
    <${Said} message=${message} />
    <p class="meta"><time datetime=${message.at.toISOString()}>${clockTime(message.at)}</time>${message.edited && html` · ${t('message.edited')}`}${message.out && html` <${Fate} message=${message} />`}</p>
    ${message.error && ['failed', 'in_doubt'].includes(message.state) && html`<div class="why"><p>${message.error.message}</p><p class="quiet">${message.error.hint}</p>${message.state === 'failed' && html`<${Again} message=${message} />`}</div>`}
  </article>`;
}

/** A state that needs somebody stands out; one that goes well is a tick with its word. */
function Fate({ message }) {
  if (['failed', 'in_doubt', 'expired', 'cancelled', 'scheduled'].includes(message.state)) return html`<${MessageState} state=${message.state} />`;
  return html`<span class="fate"><${Tick} state=${message.state} />${t(`message.state.${message.state}`)}</span>`;
}

const TICKS = { queued: 'clock', sending: 'send', sent: 'check', delivered: 'checks', read: 'checks', played: 'checks', failed: 'warning', in_doubt: 'question', scheduled: 'clock', expired: 'clock', cancelled: 'ban' };

function Tick({ state }) {
  return html`<span class="tick ${['read', 'played'].includes(state) ? 'seen' : ''} ${state === 'failed' ? 'bad' : ''}"><${Icon} name=${TICKS[state] ?? 'clock'} /></span>`;
}

function Again({ message }) {
  const replay = useAction(async () => {
    await api.post(`/api/messages/${message.id}/replay`);
    toast(t('queue.replayed'));
  });
  return html`<${Button} small icon="refresh" busy=${replay.busy} onClick=${replay.run}>${t('queue.replay')}<//><${ErrorNote} error=${replay.error} />`;
}

function Said({ message }) {
  if (message.revoked) return html`<p class="quiet"><em>${t('message.revoked')}</em></p>`;
  return html`
    ${message.content.quote && html`<blockquote>${message.content.quote.text ?? kindName(message.content.quote.kind)}</blockquote>`}
    ${message.kind !== 'text' && html`<p class="small quiet">${kindName(message.kind)}</p>`}
    ${message.file && html`<${Attached} file=${message.file} kind=${message.kind} />`}
    ${message.content.poll && html`<ul class="options">${message.content.poll.options.map((option) => html`<li>${option}</li>`)}</ul>`}
    ${message.text && html`<p class="text">${message.text}</p>`}`;
}

function Attached({ file, kind }) {
  const load = useAction(async () => {
    const { url } = await api.get(`/api/media/${file.media_id}`);
    Object.assign(document.createElement('a'), { href: url, rel: 'noopener' }).click();
  });
  const here = file.media_id && (file.state ?? 'stored') === 'stored';
  return html`<div class="attached"><${Icon} name="clip" /><span class="grow"><span class="break">${file.file_name ?? file.name ?? kindName(kind)}</span><span class="small quiet"> ${file.size ? t('chats.kilobytes', { kb: number(Math.ceil(file.size / 1024)) }) : ''}</span></span>
    ${here ? html`<${Button} small icon="down" label=${t('chats.download')} busy=${load.busy} onClick=${load.run} />` : html`<span class="small quiet">${t(`chats.file.${file.state === 'failed' ? 'failed' : 'pending'}`)}</span>`}</div>
    <${ErrorNote} error=${load.error} />`;
}

// Sending

function Compose({ session, chat }) {
  const [text, setText] = useState('');
  const [file, setFile] = useState(null);
  const picker = useRef(null);
  const box = useRef(null);
  const key = useRef(null);
  const send = useAction(async () => {
    // Repeated with the same key after an answer that was lost, it is the same message.
    key.current ??= crypto.randomUUID();
    const body = file ? await withFile(file, text) : { text };
    await api.post('/api/messages/send', { session_id: session.session_id, to: chat, ...body }, { 'Idempotency-Key': key.current });
    key.current = null;
    setText('');
    setFile(null);
    box.current.focus();
  });
  const changed = (set) => (value) => { key.current = null; set(value); };
  const ready = !send.busy && (text.trim() || file);
  const submit = (event) => {
    event.preventDefault();
    if (ready) send.run();
  };
  const enter = (event) => { if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && matchMedia('(pointer: fine)').matches) submit(event); };
  return html`<form class="compose" onSubmit=${submit}>
    ${['banned', 'logged_out', 'outdated', 'failed'].includes(session.state) && html`<${Note} tone="warn" slim>${session.reason.sentence} ${session.reason.next_step}<//>`}
    <${ErrorNote} error=${send.error} />
    ${file && html`<p class="row tight small"><${Icon} name="clip" /><span class="break">${file.name}</span><${Button} small kind="plain" icon="cross" label=${t('chats.no_file')} onClick=${() => changed(setFile)(null)} /></p>`}
    <div class="row tight line">
      <input type="file" class="seen-by-readers-only" tabindex="-1" ref=${picker} aria-label=${t('chats.attach')} onChange=${(event) => { changed(setFile)(event.target.files[0] ?? null); event.target.value = ''; }} />
      <${Button} kind="plain" icon="clip" label=${t('chats.attach')} onClick=${() => picker.current.click()} />
      <textarea class="input grow" rows="1" ref=${box} aria-label=${t('chats.text')} placeholder=${t('chats.text')} value=${text} onInput=${(event) => changed(setText)(event.target.value)} onKeyDown=${enter}></textarea>
      <${Button} kind="main" icon="send" label=${t('chats.send')} type="submit" busy=${send.busy} disabled=${!ready} />
    </div>
  </form>`;
}

async function withFile(file, text) {
  const { media_id: mediaId, mime_type: mimeType } = await api.upload(file);
  const kind = kindOf(mimeType);
  const media = kind === 'document' ? { media_id: mediaId, file_name: file.name } : { media_id: mediaId };
  return { kind, media, ...(text && CAPTION_KINDS.has(kind) ? { caption: text } : {}) };
}

/** As which kind WhatsApp takes a file of this type; what it does not show itself goes as a document. */
function kindOf(mimeType) {
  if (['image/jpeg', 'image/png'].includes(mimeType)) return 'image';
  if (['video/mp4', 'video/3gpp'].includes(mimeType)) return 'video';
  if (['audio/aac', 'audio/mp4', 'audio/mpeg', 'audio/amr', 'audio/ogg'].includes(mimeType)) return 'audio';
  return 'document';
}
