"""neonize behind one door: everything else in the cell sees a `LibraryClient` and link events.

The workarounds for neonize 0.5.2 live here and in `store.py`, each with its reason:

- Starts and stops are serialised in a process (`_LIFECYCLE`): its maps of clients are not safe for concurrent writes, and two
  starts at once kill the process ("concurrent map writes").
- A uuid is used once. A collected client calls `Stop(uuid)` and would kill a successor of the same name, so the finalizer is
  detached as well.
- No `jid=` is given (the uuid would become the bare number and collide between two devices of it): one store file per device.
- Handlers are plain functions (methods are held weakly) and are registered before `connect` (later ones are not subscribed).
- A handler that raises is swallowed by ctypes, so handlers only translate and hand on.
- `send_message` and its like are called only between `start` and `stop`: an unknown uuid is a nil dereference in Go, which
  ends the process.
- A device that was removed while it was away gets a 401 at login, and if that is faster than the library's `FetchMe`, it waits
  for ever for the device row which whatsmeow has just deleted, and no event comes. So a linked store that is suddenly empty,
  without a word, is taken for what it is (`_watch_for_silent_removal`).
- Every life of a client is a new object, and old ones are kept (`_lives`): Go's logger can still call into a client that has
  stopped, and calling a callback that Python has freed ends the process (seen once against the simulator).
- The end of a round of QR codes raises no event; the library only calls its login-status callback, which NewClient prints.
  The subclass hears it instead.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from neonize._binder import ProxySettings
from neonize.client import NewClient
from neonize.exc import GetBlocklistError, PairPhoneError, SendMessageError, SendPresenceError
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps
from neonize.utils import enum as neonize_enums
from neonize.utils.jid import build_jid

from keepline.domain import link_events
from keepline.domain.commands import Command, CommandOutcome
from keepline.domain.content.bodies import Content, Vote
from keepline.domain.content.files import Media
from keepline.domain.content.votes import NONCE_BYTES
from keepline.domain.link_events import LinkEvent, SendOutcome
from keepline.domain.link_settings import Presence
from keepline.domain.pairing import ROUND_S, UNREACHABLE, CodeAnswer
from keepline_connector.cell import notices, translate
from keepline_connector.cell.commanding import carry_out
from keepline_connector.cell.compose import compose
from keepline_connector.cell.media_keys import FileKey
from keepline_connector.cell.outcomes import WA_RATE_LIMITED, code_error_of, is_answer, is_rate_signal, outcome_of
from keepline_connector.cell.own_phone import OwnPhone
from keepline_connector.cell.people import People
from keepline_connector.cell.reading import file_key_in
from keepline_connector.cell.store import DeviceStore, OwnNumber
from keepline_connector.cell.uploading import Uploaded, upload
from keepline_connector.cell.voting import seal

# How long a start may hold back the next one: until its first sign of life, at most this long (the map writes are over in
# milliseconds; the sign comes after the connection has been tried).
_START_SIGN_TIMEOUT_S = 1.5
_STOP_TIMEOUT_S = 5.0
# The library hands events over through a channel of 100 and forgets what is in it when it is stopped. A device whose socket
# is cut is therefore left running until it has been quiet for a moment.
_QUIET_S = 0.1
_QUIET_TIMEOUT_S = 2.0
# WhatsApp answers a login within a second or it is a matter of the network.
_REMOVAL_LOOK_S = 0.25
_REMOVAL_WATCH_S = 60.0
# The first QR code of a round is good for 60 s and the last for 20 (whatsmeow, qrchan.go): a round this old is new enough to be
# kept for a pairing code, and the QR code that somebody may be looking at stays good.
_NEW_ROUND_S = 30.0
# Until the first QR code, from which on a pairing code may be asked for (whatsmeow, pair-code.go). It takes about a second.
_OFFERING_TIMEOUT_S = 10.0

# So many sent messages the library keeps in memory, to send again what a recipient could not read (whatsmeow, retry.go).
_REMEMBERED_BY_LIBRARY = 256

# Recipients whose two names are remembered in memory.
_PEOPLE_MAX = 10_000

# The library sends no presence before it knows the profile's name, which the phone tells within seconds of the first login
# (whatsmeow presence.go, ErrNoPushName). If that takes longer, the next login comes to it.
_NO_NAME_YET = "PushName"
_NAME_LOOK_S = 0.5
_NAME_WATCH_S = 60.0
_PRESENCES = {
    Presence.AVAILABLE: neonize_enums.Presence.AVAILABLE,
    Presence.UNAVAILABLE: neonize_enums.Presence.UNAVAILABLE,
}

_LIFECYCLE = threading.Lock()
_uuids = itertools.count(1)
# A few kilobytes each; a cell that has had thousands of lives leaks more elsewhere and wants recycling anyway (facts).
_lives: list[NewClient] = []

log = logging.getLogger(__name__)


class _Client(NewClient):
    """NewClient that reports the login status instead of printing it."""

    login_status: Callable[[str], None]

    def _NewClient__onLoginStatus(self, uuid: int, status: int) -> None:
        self.login_status(ctypes.string_at(status).decode(errors="replace"))


class LibraryClient:
    """One life of a device's client, from `start` to `stop`. `emit` gets link events from the library's threads.

    `noting_file` gets the key of a heard message's file; it is entered before `emit` gets the message, and left after.
    """

    def __init__(
        self,
        device: str,
        store: DeviceStore,
        proxy: str,
        presence: Presence,
        emit: Callable[[LinkEvent], None],
        noting_file: Callable[[link_events.MessageHeard, FileKey], AbstractContextManager[None]],
    ) -> None:
        self._device = device
        self._store = store
        self._proxy = proxy
        self._presence = presence
        self._logged_in = False
        self._emit = emit
        self._noting_file = noting_file
        self._sign_of_life = threading.Event()
        self._client: _Client | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self.shows_code = False  # a pairing code that this connection has brought and that nobody has used yet
        self._offering = threading.Event()  # WhatsApp offers QR codes, so it is connected and not linked
        self._offering_since_s = 0.0  # monotonic
        self._told_at_s = 0.0  # monotonic; when the library last told something
        self._own: OwnNumber | None = None
        self._own_phone = OwnPhone()
        self._people: OrderedDict[str, tuple[str | None, str | None]] = OrderedDict()  # by chat
        self._sent_lately: deque[str] = deque(maxlen=_REMEMBERED_BY_LIBRARY)

    def start(self) -> None:
        """Begin to connect. Returns at the first sign of life, or when waiting for one would hold up the others."""
        with _LIFECYCLE:
            client = _Client(
                self._store.dsn,
                uuid=f"{self._device}#{next(_uuids)}",
                props=DeviceProps(os="Keepline", platformType=DeviceProps.DESKTOP),
            )
            client._stop_finalizer.detach()
            _lives.append(client)
            client.login_status = self._login_status
            self._register(client)
            self._client = client
            self._thread = threading.Thread(
                target=self._connect, args=(client,), name=f"neonize {self._device}", daemon=True
            )
            was_linked = self._store.own_number() is not None
            self._thread.start()
            self._sign_of_life.wait(_START_SIGN_TIMEOUT_S)
        if was_linked and not self._sign_of_life.is_set():
            threading.Thread(target=self._watch_for_silent_removal, name=f"removal {self._device}", daemon=True).start()

    def wait_until_quiet(self) -> None:
        """Let the library tell what it has decrypted already. Call it when the socket is cut and nothing new can come."""
        deadline_s = time.monotonic() + _QUIET_TIMEOUT_S
        began_s = time.monotonic()
        while (now_s := time.monotonic()) < deadline_s and now_s - max(self._told_at_s, began_s) < _QUIET_S:
            time.sleep(_QUIET_S / 5)

    def stop(self) -> None:
        """End the library's thread. No event comes afterwards."""
        with _LIFECYCLE:
            self._stopped = True
            if self._client is None or self._thread is None:
                return
            if self._thread.is_alive():
                self._client.stop()
                self._thread.join(_STOP_TIMEOUT_S)
            self._client = None

    def upload(self, body: Media, file: Path) -> Uploaded | SendOutcome:
        """Upload a message's file to WhatsApp, which is part of no message yet."""
        client = self._client
        if client is None or self._stopped or not self._logged_in:
            return SendOutcome("not_sent", error_code="not_connected")
        return upload(client, body, file)

    def send(self, chat: str, content: Content, tag: bytes, uploaded: Uploaded | None) -> SendOutcome:
        """Send one message and wait for WhatsApp's answer, 75 s at most (the library's limit)."""
        client, own = self._client, self._own_number()
        if client is None or self._stopped or own is None:
            return SendOutcome("not_sent", error_code="not_connected")
        sealed = None
        if isinstance(content.body, Vote):
            sealed = seal(content.body, own, self._store, secrets.token_bytes(NONCE_BYTES))
            if sealed is None:
                return SendOutcome("refused", error_code="no_poll_secret")
        message = compose(content, own, tag, time.time_ns() // 1_000_000, sealed, uploaded)
        try:
            response = client.send_message(_jid(chat), message)
        except SendMessageError as error:
            outcome = outcome_of(str(error))
            if outcome.error_code == WA_RATE_LIMITED:
                self._tell(link_events.RateSignal())
            return outcome
        self._sent_lately.append(response.ID)
        phone, lid = self._both_of(chat)
        return SendOutcome("sent", wa_message_id=response.ID, to_phone=phone, to_lid=lid)

    def carry_out(self, command: Command) -> CommandOutcome:
        """Do what is no message: see `commanding.py`."""
        client = self._client
        if client is None or self._stopped or not client.connected:
            return CommandOutcome("not_connected")
        outcome = carry_out(client, People(self._both_of, self._own_number()), command)
        if outcome.error_code == WA_RATE_LIMITED:
            self._tell(link_events.RateSignal())
        return outcome

    def _own_number(self) -> OwnNumber | None:
        """Looked up once it is there: a linked device keeps its number for good."""
        if self._own is None:
            self._own = self._store.own_number()
        return self._own

    def _both_of(self, chat: str) -> tuple[str | None, str | None]:
        """A recipient's phone and LID. Once both are known they are not looked up again: they belong together for good."""
        both = self._people.get(chat) or self._store.both_of(chat)
        if all(both):
            self._people[chat] = both
            if len(self._people) > _PEOPLE_MAX:
                self._people.popitem(last=False)
        return both

    def probe(self) -> bool:
        """Whether WhatsApp answers a small question: the list of blocked numbers, which every client asks for at its start."""
        client = self._client
        if client is None or self._stopped:
            return False
        try:
            client.get_blocklist()
        except GetBlocklistError as error:
            if is_rate_signal(str(error)):
                self._tell(link_events.RateSignal())
            return is_answer(str(error))
        return True

    def present(self, presence: Presence) -> None:
        """Be seen like this: now, if logged in, and after each login."""
        self._presence = presence
        if self._logged_in:
            self._begin_to_present()

    def _begin_to_present(self) -> None:
        """In a thread of its own: it can take a while, and the library waits for its callbacks."""
        threading.Thread(target=self._send_presence, name=f"presence {self._device}", daemon=True).start()

    def _send_presence(self) -> None:
        client = self._client
        deadline_s = time.monotonic() + _NAME_WATCH_S
        while client is not None and self._logged_in and not self._stopped and time.monotonic() < deadline_s:
            wanted = self._presence
            try:
                client.send_presence(_PRESENCES[wanted])
            except SendPresenceError as error:
                if _NO_NAME_YET not in str(error):
                    log.info("the presence of %s could not be sent: %s", self._device, error)
                    return
                time.sleep(_NAME_LOOK_S)
            else:
                if wanted is self._presence:
                    return

    @property
    def has_new_round(self) -> bool:
        """Whether a round of QR codes has begun a moment ago: a code that is asked for now has nearly all of its time."""
        return self._offering.is_set() and time.monotonic() - self._offering_since_s < _NEW_ROUND_S

    def pair_code(self, phone: str) -> CodeAnswer:
        """A code that links the phone of this number, good until the round ends. Call it on a device that is not linked."""
        client = self._client
        if client is None or self._stopped or not self._offering.wait(_OFFERING_TIMEOUT_S):
            return CodeAnswer(error_code=UNREACHABLE)
        good_for_s = self._offering_since_s + ROUND_S - time.monotonic()
        try:
            # The server takes the names of common browsers only; what the phone lists afterwards is the name in `props`.
            code = client.PairPhone(phone, True, neonize_enums.ClientName.LINUX, neonize_enums.ClientType.CHROME)
        except PairPhoneError as error:
            refusal = code_error_of(str(error))
            log.warning("%s gets no pairing code: %s", self._device, refusal)
            return CodeAnswer(error_code=refusal)
        self.shows_code = self._offering.is_set()
        return CodeAnswer(code, good_for_s)

    def log_out(self) -> bool:
        """Unlink the device at WhatsApp. False when that could not be done now."""
        client = self._client
        if client is None or not client.connected:
            return False
        try:
            client.logout()
        except Exception:
            log.warning("the device could not be unlinked at WhatsApp", exc_info=True)
            return False
        return True

    def _connect(self, client: _Client) -> None:
        """The library's own thread: blocks until the client is stopped or fails to start."""
        try:
            client.connect(ProxySettings(proxy_address=self._proxy))
        except Exception as error:  # noqa: BLE001 - it raises NeonizeError or whatever ctypes makes of a failure
            cause = "login_refused" if "Reason not set" in str(error) else "unreachable"
            self._tell(link_events.LinkFailed(cause, str(error)[:200]))
        finally:
            self._sign_of_life.set()

    def _watch_for_silent_removal(self) -> None:
        deadline_s = time.monotonic() + _REMOVAL_WATCH_S
        while time.monotonic() < deadline_s and not self._stopped:
            if self._sign_of_life.wait(_REMOVAL_LOOK_S):
                return
            if self._store.own_number() is None:
                self._tell(link_events.LoggedOut())
                return

    def _login_status(self, status: str) -> None:
        if status == "timeout":
            self._tell(link_events.PairingEnded())
        elif status != "success":
            self._tell(link_events.LinkFailed("unreachable", f"pairing: {status}"[:200]))

    def _tell(self, event: LinkEvent) -> None:
        self._sign_of_life.set()
        self._told_at_s = time.monotonic()
        match event:
            case link_events.Connected():
                self._logged_in = True
                self._begin_to_present()  # WhatsApp forgets it with each connection.
            case link_events.Disconnected():
                self._logged_in = False
            case link_events.PairingCode() if not self._offering.is_set():
                self._offering_since_s = self._told_at_s
                self._offering.set()
        if isinstance(event, link_events.StateEvent) and not isinstance(event, link_events.PairingCode):
            self._offering.clear()
            self.shows_code = False
        # What was heard has been confirmed to WhatsApp, whichever life heard it; only the state of an earlier life is old news.
        if not self._stopped or isinstance(event, link_events.HeardEvent):
            self._emit(event)

    def _register(self, client: _Client) -> None:
        client.qr(lambda _, code: self._tell(link_events.PairingCode(code.decode())))
        for event_type, to_event in translate.TRANSLATIONS.items():
            client.event(event_type)(self._handler(to_event))
        for event_type, to_notices in notices.TRANSLATIONS.items():
            client.event(event_type)(self._notice_handler(to_notices))

    def _answered_by_library(self, event: LinkEvent) -> bool:
        """A recipient asks for a message again that this life of the library has sent: it sends it again by itself."""
        if not isinstance(event, link_events.ReceiptHeard) or event.status != "unreadable":
            return False
        return event.wa_message_ids[0] in self._sent_lately

    def _tell_with_file(self, event: LinkEvent, message: Any) -> None:
        heard = event if isinstance(event, link_events.MessageHeard) and "media" in event.content else None
        key = file_key_in(message.Message) if heard is not None else None
        with self._noting_file(heard, key) if heard is not None and key is not None else nullcontext():
            self._tell(event)

    def _handler(self, to_event: Callable[[Any, DeviceStore], LinkEvent | None]) -> Callable[[NewClient, Any], None]:
        def handle(_: NewClient, message: Any) -> None:
            try:
                event = to_event(message, self._store)
                if event is not None and not self._answered_by_library(event):
                    self._tell_with_file(event, message)
                if (seen := self._own_phone.look(message)) is not None:
                    self._tell(seen)
            except Exception:
                # ctypes would swallow it without a word.
                log.exception("an event of the WhatsApp library could not be taken")

        return handle

    def _notice_handler(
        self, to_notices: Callable[[Any, DeviceStore], Iterable[LinkEvent]]
    ) -> Callable[[NewClient, Any], None]:
        def handle(_: NewClient, told: Any) -> None:
            try:
                for event in to_notices(told, self._store):
                    self._tell(event)
            except Exception:
                # As above.
                log.exception("a notice of the WhatsApp library could not be taken")

        return handle


def _jid(chat: str) -> Any:
    user, _, server = chat.partition("@")
    return build_jid(user, server)
