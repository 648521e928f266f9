"""Every limit of the simulator in one place; the unit stands last in each name."""

# A WhatsApp frame carries a 3-byte length (whatsmeow `FrameMaxSize` = 1 << 24).
FRAME_BYTES_MAX = (1 << 24) - 1
# WebSocket messages hold one or more frames; nothing legitimate is larger than one frame with its header.
WEBSOCKET_MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 64
# The HTTP head of a CONNECT, an upgrade or a control request.
HTTP_HEAD_BYTES_MAX = 16 * 1024
# A control request may carry a file as base64.
HTTP_BODY_BYTES_MAX = 32 * 1024 * 1024
# Deepest legitimate node is iq > usync > list > user > devices > device-list > device.
NODE_DEPTH_MAX = 32
# A zlib-flagged node may not unpack to more than this.
NODE_UNPACKED_BYTES_MAX = FRAME_BYTES_MAX
PROTOBUF_FIELDS_MAX = 100_000

CONNECTIONS_MAX = 4_096
HANDSHAKE_SECONDS_MAX = 20.0
# Hello and finish together are below 1 kB; a stranger may not make the server keep more than this.
HANDSHAKE_BYTES_MAX = 64 * 1024
# A connection that says nothing for this long is gone: clients ping every 20-30 s (whatsmeow keepalive.go).
IDLE_SECONDS_MAX = 600.0
# Bytes waiting in a socket above which a device's queue is held back instead of written.
SOCKET_BACKLOG_BYTES_MAX = 4 * 1024 * 1024

PHONES_MAX = 100_000
COMPANIONS_PER_NUMBER_MAX = 4
# Device numbers travel in one byte; WhatsApp counts upwards and does not reuse a number soon.
DEVICE_NUMBER_MAX = 99
PREKEYS_PER_DEVICE_MAX = 5_000
# The server tells a device to upload more one-time keys below this.
PREKEYS_LOW_COUNT = 10
DEVICE_QUEUE_STANZAS_MAX = 100_000
INBOX_MESSAGES_MAX = 20_000
# How many of its own messages a phone can encrypt again when asked (whatsmeow keeps 256).
SENT_MESSAGES_MAX = 20_000
SEEN_IDS_MAX = 100_000
RECIPIENTS_PER_USYNC_MAX = 5_000
TEXT_CHARACTERS_MAX = 65_536
RECEIPT_IDS_MAX = 1_000

# libsignal's limits: how far a chain may jump ahead, chains kept, superseded sessions kept.
SIGNAL_SKIP_MAX = 2_000
SIGNAL_RECEIVER_CHAINS_MAX = 5
SIGNAL_PREVIOUS_SESSIONS_MAX = 40
# WhatsApp asks for a message again at most this often (whatsmeow retry.go gives up at 5).
RETRY_COUNT_MAX = 5

# Seconds a QR code is shown: the first one, then each of the others (qrchan.go in whatsmeow; six codes in all).
QR_FIRST_SECONDS = 60.0
QR_NEXT_SECONDS = 20.0
QR_CODES = 6
# How long a scan waits for the client to confirm, and how long a paired connection may linger after its 515.
PAIRING_CONFIRM_SECONDS_MAX = 15.0
PAIRED_LINGER_SECONDS_MAX = 5.0
# How long a connection stays open after its last stanza (a failure, a stream error): whatsmeow forgets stanzas that it has
# not yet handled when its socket closes, so a server that closed at once would often not be understood (measured).
FAREWELL_SECONDS = 0.2
# Stanzas kept while a login is answered late (a fault); whatsmeow sends one or two.
EARLY_STANZAS_MAX = 100

LOG_EVENTS_MAX = 500_000
LOG_PAGE_EVENTS_MAX = 10_000
LOG_TRIM_EVENTS = 50_000
LOG_FLUSH_SECONDS = 0.2

# Faults that stand or can still be read, and their figures.
FAULTS_MAX = 1_000
FAULT_SECONDS_MAX = 31 * 86_400.0
FAULT_COPIES_MAX = 100
# Devices with dice of their own in one fault, and message ids one fault or session remembers.
FAULT_OWNERS_MAX = 10_000
FAULT_STANZA_IDS_MAX = 10_000
# Bytes that wait inside a delayed or narrow connection, per direction, before the socket is left to fill up.
WIRE_BACKLOG_BYTES_MAX = 1024 * 1024
# A narrow connection hands bytes on in pieces of 1/20 s, but not smaller ones than this.
WIRE_PIECES_PER_SECOND = 20
WIRE_PIECE_BYTES_MIN = 256
# Times of recent events kept per account and rule.
RATE_TIMES_MAX = 10_000
# Contacts, message ids and texts that the rate policy remembers per account.
RATE_CONTACTS_MAX = 100_000
RATE_IDS_MAX = 1_000
RATE_TEXTS_MAX = 1_000

# A file on the media server (WhatsApp's apps take 16 MB of media and 2 GB of documents), and all of them together.
MEDIA_BLOB_BYTES_MAX = 64 * 1024 * 1024
MEDIA_STORE_BYTES_MAX = 512 * 1024 * 1024

# libsignal's `SenderKeyRecord` keeps five keys of a sender; and how many senders a phone remembers in all.
SENDER_KEY_STATES_MAX = 5
SENDER_KEYS_MAX = 50_000
# Messages within messages (view once, ephemeral, document with caption …).
MESSAGE_WRAPPERS_MAX = 4
# Reactions, edits … of messages that have not come yet, remembered per phone.
ORPHANS_MAX = 1_000

# WhatsApp's limits for groups (its help pages): members, and characters of a subject.
GROUP_MEMBERS_MAX = 1_024
GROUP_SUBJECT_CHARACTERS_MAX = 100
GROUP_DESCRIPTION_CHARACTERS_MAX = 2_048
GROUPS_MAX = 10_000
# WhatsApp's polls have at most twelve options.
POLL_OPTIONS_MAX = 12
# What one phone remembers of who typed, and how many devices may watch one account.
PRESENCES_SEEN_MAX = 1_000
PRESENCE_SUBSCRIPTIONS_MAX = 10_000

# Changes of one collection of app state, and how many of them one answer holds.
APP_STATE_PATCHES_MAX = 10_000
APP_STATE_PAGE_PATCHES_MAX = 500
NAME_CHARACTERS_MAX = 64
# What a new device gets of the past: chats, and messages of each.
HISTORY_CHATS_MAX = 100
HISTORY_MESSAGES_PER_CHAT_MAX = 50

# How long a linking code may be typed in, and how often a wrong one. Neither is published; the connection that shows it ends
# with the QR codes after 160 s.
LINK_CODE_SECONDS_MAX = 180.0
LINK_CODE_TRIES_MAX = 3

# WhatsApp's limits for a profile: characters of the line about oneself; bytes of a picture as apps upload it.
ABOUT_CHARACTERS_MAX = 139
PICTURE_BYTES_MAX = 1024 * 1024

# The clock may be put forward by at most ten years at once.
CLOCK_SECONDS_MAX = 10 * 365 * 86_400.0
