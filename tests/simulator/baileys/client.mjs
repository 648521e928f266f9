// One Baileys client, driven by JSON lines: commands on standard input, events on standard output.
//
// Baileys is used as it is. What makes it reach and trust a simulator is outside of it: NODE_EXTRA_CA_CERTS in the
// environment, an agent that says CONNECT to the simulator's proxy, and the Noise root replaced in memory.

import http from 'node:http'
import https from 'node:https'
import readline from 'node:readline'
import { Readable } from 'node:stream'
import tls from 'node:tls'
import { DisconnectReason, WA_CERT_DETAILS, downloadMediaMessage, makeWASocket, useMultiFileAuthState } from 'baileys'

const { proxy, noise_root: noiseRoot, store } = JSON.parse(process.argv[2])
Buffer.from(noiseRoot, 'hex').copy(WA_CERT_DETAILS.PUBLIC_KEY)

// Standard output is for events; libsignal's chatter goes elsewhere.
for (const name of ['log', 'info', 'warn', 'debug']) console[name] = console.error

// A tunnel through the proxy for every TLS connection.
class Tunnel extends https.Agent {
  createConnection (options, done) {
    const { hostname, port } = new URL(proxy)
    const target = `${options.host}:${options.port || 443}`
    http.request({ host: hostname, port, method: 'CONNECT', path: target, headers: { host: target } })
      .on('connect', (_, socket) => done(null, tls.connect({ socket, servername: options.host, ALPNProtocols: ['http/1.1'] })))
      .on('error', done)
      .end()
  }
}
const agent = new Tunnel()

// Node's own fetch takes no https.Agent; downloads go through the tunnel as well.
globalThis.fetch = (url, init = {}) => new Promise((resolve, reject) => {
  const headers = Object.fromEntries(new Headers(init.headers || {}))
  https.request(url, { method: init.method || 'GET', headers, agent })
    .on('response', answer => resolve(new Response(Readable.toWeb(answer), { status: answer.statusCode })))
    .on('error', reject)
    .end(init.body)
})

const tell = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }, bytesAsBase64) + '\n')
const bytesAsBase64 = (_, value) => value?.type === 'Buffer' ? Buffer.from(value.data).toString('base64') : value

const quiet = { level: 'silent', child: () => quiet }
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) quiet[level] = () => {}
if (process.env.BAILEYS_LOG) for (const level of ['info', 'warn', 'error', 'fatal']) quiet[level] = (...parts) => console.error(level, ...parts)

const { state, saveCreds } = await useMultiFileAuthState(store)
const received = new Map()
const sent = new Map()
let socket

const connect = () => {
  socket = makeWASocket({
    auth: state, agent, fetchAgent: agent, logger: quiet, browser: ['Ubuntu', 'Chrome', '1'],
    getMessage: async key => sent.get(key.id)
  })
  socket.ev.on('creds.update', saveCreds)
  socket.ev.on('connection.update', update => {
    if (update.qr) tell('qr', { qr: update.qr })
    if (update.connection === 'open') tell('open', { me: socket.user })
    if (update.receivedPendingNotifications) tell('offline_done')
    if (update.connection === 'close') {
      const code = update.lastDisconnect?.error?.output?.statusCode
      tell('close', { code })
      // 515 after linking: come back and log in.
      if (code === DisconnectReason.restartRequired) connect()
    }
  })
  socket.ev.on('messages.upsert', ({ messages }) => {
    for (const message of messages) {
      received.set(message.key.id, message)
      tell('message', { id: message.key.id, key: message.key, content: message.message, status: message.status })
    }
  })
  socket.ev.on('messages.update', updates => updates.forEach(one => tell('update', { id: one.key.id, update: one.update })))
  socket.ev.on('messaging-history.set', ({ chats, messages, syncType }) => {
    tell('history', { syncType, chats: chats.map(chat => chat.id), messages: messages.map(message => message.key.id) })
  })
  socket.ev.on('chats.update', chats => tell('chats', { chats }))
  socket.ev.on('presence.update', update => tell('presence', update))
}

const commands = {
  code: async ({ number }) => ({ code: await socket.requestPairingCode(number) }),
  send: async ({ to, content }) => {
    if (content.document) content.document = Buffer.from(content.document, 'base64')
    const message = await socket.sendMessage(to, content)
    sent.set(message.key.id, message.message)
    return { id: message.key.id }
  },
  download: async ({ id }) => ({ data: (await downloadMediaMessage(received.get(id), 'buffer', {})).toString('base64') }),
  group: async ({ subject, members }) => ({ id: (await socket.groupCreate(subject, members)).id }),
  archive: async ({ chat, last }) => {
    await socket.chatModify({ archive: true, lastMessages: [received.get(last)] }, chat)
    return {}
  },
  older: async ({ id, count }) => {
    const { key, messageTimestamp } = received.get(id)
    return { request: await socket.fetchMessageHistory(count, key, messageTimestamp) }
  },
  resend: async ({ key }) => ({ request: await socket.requestPlaceholderResend(key) }),
  on_whatsapp: async ({ number }) => ({ found: await socket.onWhatsApp(number) })
}

for (const name of ['unhandledRejection', 'uncaughtException']) process.on(name, problem => tell('problem', { error: String(problem) }))
connect()
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  commands[command.do](command)
    .then(result => tell('done', { call: command.call, ...result }))
    .catch(problem => tell('failed', { call: command.call, error: String(problem) }))
}
process.exit(0)
