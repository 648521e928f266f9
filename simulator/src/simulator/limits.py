"""Every limit of the simulator in one place; the unit stands last in each name."""

# A WhatsApp frame carries a 3-byte length (whatsmeow `FrameMaxSize` = 1 << 24).
FRAME_BYTES_MAX = (1 << 24) - 1
# WebSocket messages hold one or more frames; nothing legitimate is larger than one frame with its header.
WEBSOCKET_MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 64
# The HTTP head of a CONNECT, an upgrade or a control request.
HTTP_HEAD_BYTES_MAX = 16 * 1024
HTTP_BODY_BYTES_MAX = 4 * 1024 * 1024
# Deepest legitimate node is iq > usync > list > user > devices > device-list > device.
NODE_DEPTH_MAX = 32
# A zlib-flagged node may not unpack to more than this.
NODE_UNPACKED_BYTES_MAX = FRAME_BYTES_MAX
PROTOBUF_FIELDS_MAX = 100_000

CONNECTIONS_MAX = 4_096
HANDSHAKE_SECONDS_MAX = 20.0
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

LOG_EVENTS_MAX = 500_000
LOG_PAGE_EVENTS_MAX = 10_000
LOG_TRIM_EVENTS = 50_000
LOG_FLUSH_SECONDS = 0.2
