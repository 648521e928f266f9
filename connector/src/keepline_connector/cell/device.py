"""One device in a cell: its folder, journal, exit and the present life of its client."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keepline.domain.commands import Command, CommandOutcome, MarkRead, ShowTyping
from keepline.domain.content.bodies import Content
from keepline.domain.content.files import Media
from keepline.domain.link_events import (
    CaughtUp,
    Connected,
    Disconnected,
    Evidence,
    HeardEvent,
    LinkEvent,
    LinkFailed,
    MediaWaiting,
    MessageHeard,
    PhoneSeen,
    QualityChanged,
    RateSignal,
    Resumed,
    SendOutcome,
    Stalled,
    Tried,
)
from keepline.domain.link_quality import PathSample
from keepline.domain.link_settings import Presence
from keepline.domain.pairing import LINKED, CodeAnswer
from keepline_connector import frames
from keepline_connector.cell.egress import Egress
from keepline_connector.cell.journal import Journal
from keepline_connector.cell.library import LibraryClient
from keepline_connector.cell.life_signs import LifeSigns
from keepline_connector.cell.media_fetching import fetch
from keepline_connector.cell.media_keys import FileKey, MediaKeys
from keepline_connector.cell.quality import QualityWatch
from keepline_connector.cell.stalls import Stalls
from keepline_connector.cell.store import DeviceStore
from keepline_connector.folder_lock import FolderLock

Tell = Callable[[dict[str, Any]], None]

log = logging.getLogger(__name__)


class CellDevice:
    """`tell` gets events as JSON, for the supervisor. Nothing is dialled before `connect` says which way."""

    def __init__(self, device: str, folder: Path, egress: Egress, tell: Tell) -> None:
        self._device = device
        self._folder = folder
        self._egress = egress
        self._tell = tell
        self._store = DeviceStore(folder)
        self._held = FolderLock(folder)
        try:
            self._journal = Journal(folder / "journal.db", self._tell_numbered)
            self._media_keys = MediaKeys(folder / "media.db")
            self._stalls = Stalls(self._tell_of_stall)
            self._signs = LifeSigns()
            self._quality = QualityWatch(self._tell_of_quality)
            self._proxy = egress.open(device, self._report, self._look, self._not_reached)
        except BaseException:
            self._held.release()  # The next try may come to another cell.
            raise
        self._client: LibraryClient | None = None
        self._presence = Presence.UNAVAILABLE
        self._lock = threading.Lock()

    def replay(self) -> None:
        """Tell again what was heard and is not in Firestore yet, and of files that wait."""
        self._journal.replay()
        for event in self._media_keys.waiting():
            self._tell(event)

    def connect(self, upstream: str | None, presence: Presence, *, public_only: bool) -> None:
        """Begin a new life of the client, after ending the one before as gently as `close` does.

        It goes through the proxy `upstream`, if one is given, which must have a public address if `public_only`. One whose
        pairing code somebody may be typing in is left alone: it is connected, and the code would die with it.
        """
        with self._lock:
            self._presence = presence
            self._egress.route(self._device, upstream, public_only=public_only)
            if self._client is None or not self._client.shows_code:
                self._begin_life()

    def _begin_life(self) -> LibraryClient:
        if self._client is not None:
            self._egress.cut(self._device)
            self._client.wait_until_quiet()
        self._stop_client()
        self._egress.unbar(self._device)
        self._client = LibraryClient(
            self._device, self._store, self._proxy, self._presence, self._hear, self._noting_file
        )
        self._client.start()
        return self._client

    def present(self, presence: Presence) -> None:
        """Be seen like this from now on."""
        self._presence = presence
        client = self._client
        if client is not None:
            client.present(presence)

    def cut(self) -> None:
        """Cut the socket, and let the library make no other: nothing leaves until `connect` begins a new life."""
        self._egress.bar(self._device)

    def send(self, chat: str, content: Content, tag: bytes, file: Path | None) -> SendOutcome:
        """`file` is where the file of a message lies that has one."""
        client = self._client
        if client is None:
            return SendOutcome("not_sent", error_code="not_connected")
        uploaded = None
        if isinstance(content.body, Media):
            assert file is not None, "the supervisor fetches it first"
            result = client.upload(content.body, file)  # Takes its time, and WhatsApp owes no answer for that.
            if isinstance(result, SendOutcome):
                return result
            uploaded = result
        outcome = self._answered(lambda: client.send(chat, content, tag, uploaded))
        if outcome.wa_message_id is not None:
            # Before the supervisor hears of it: should it die now, or Firestore be away, nobody need doubt this send.
            self._journal.note_answer(tag, outcome.wa_message_id)
        return outcome

    def fetch_media(self, chat: str, wa_message_id: str, target: Path) -> dict[str, Any]:
        """Fetch the file of a heard message: see `media_fetching.fetch`."""
        key = self._media_keys.find(chat, wa_message_id)
        if key is None:
            return {"error_code": "media_lost", "final": True}
        return fetch(key, self._proxy, target)

    def forget_media(self, chat: str, wa_message_id: str) -> None:
        self._media_keys.forget(chat, wa_message_id)

    def carry_out(self, command: Command) -> CommandOutcome:
        client = self._client
        if client is None:
            return CommandOutcome("not_connected")
        if isinstance(command, MarkRead | ShowTyping):
            # WhatsApp says nothing to these, so that they were done proves nothing.
            with self._stalls.answer_owed():
                return client.carry_out(command)
        # No answer is owed at once: WhatsApp works on a group of many for a while, and that is no stall. When the connection
        # ends, the library waits 5 s for another and says the same there once more (whatsmeow, retryFrame): what is to be done
        # once has this connection only.
        with self._egress.keep_to_this_connection(self._device) if command.once else contextlib.nullcontext():
            outcome = client.carry_out(command)
        if outcome.error_code is None or outcome.error_code.startswith("wa_"):
            self._signs.answered()
        return outcome

    def probe(self) -> bool:
        client = self._client
        if client is None:
            return False
        with self._stalls.answer_owed():
            answered = client.probe()
        if answered:
            self._signs.answered()
        return answered

    def pair_code(self, phone: str) -> CodeAnswer:
        """A code to type into the phone. It gets nearly the whole time of a round: an old one is followed by another at once."""
        if self._store.own_number() is not None:
            return CodeAnswer(error_code=LINKED)
        with self._lock:
            client = self._client
            if client is None or not client.has_new_round:
                client = self._begin_life()
        return client.pair_code(phone)

    def find_tried(self, tags: Iterable[bytes]) -> dict[bytes, Tried]:
        wanted = list(tags)
        answered = self._journal.answered(wanted)
        tried = {**self._store.find_tried(wanted), **answered}
        return {tag: Tried(wa_message_id, tag in answered) for tag, wa_message_id in tried.items()}

    def acknowledge(self, seqs: Iterable[int]) -> None:
        self._journal.acknowledge(seqs)

    def log_out(self) -> None:
        """Unlink at WhatsApp if it can be reached, and remove the folder either way."""
        if self._client is not None and not self._client.log_out():
            log.warning("a device was removed here without being unlinked at WhatsApp; the phone still lists it")
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Cut the socket first, then take down what was heard, then let go of the files."""
        with self._lock:
            self._egress.close(self._device)
            if self._client is not None:
                self._client.wait_until_quiet()
            self._stop_client()
            self._journal.close()
            self._media_keys.close()
            self._held.release()

    def _stop_client(self) -> None:
        if self._client is not None:
            self._client.stop()
            self._client = None

    def _note_answer_to(self, outcome: SendOutcome) -> None:
        if outcome.wa_message_id is not None or (outcome.error_code or "").startswith("wa_"):
            self._signs.answered()

    def _hear(self, event: LinkEvent) -> None:
        self._signs.heard(event)
        if isinstance(event, HeardEvent):
            self._journal.append(frames.event_to_json(event))
            return
        if isinstance(event, LinkFailed) and event.cause == "unreachable":
            # The library knows no more than that; its way out does.
            event = replace(event, cause=self._egress.unreached(self._device) or event.cause)
        if isinstance(event, Connected):
            self._stalls.connected()
            self._quality.connected()
        elif isinstance(event, (Stalled, Resumed)):
            self._quality.interrupted()
        elif not isinstance(event, (CaughtUp, RateSignal, PhoneSeen)):
            self._stalls.disconnected()
            self._quality.disconnected()
        self._tell(frames.event_to_json(event))

    @contextmanager
    def _noting_file(self, heard: MessageHeard, key: FileKey) -> Iterator[None]:
        """Its key is on the disk before the message counts as heard; it is told of after the message."""
        said = heard.content["media"]
        waiting = MediaWaiting(
            heard.chat,
            heard.wa_message_id,
            datetime.now(UTC),
            said["mime_type"],
            said["file_name"],
            key.size,
            heard.tag,
        )
        event = frames.event_to_json(waiting)
        self._media_keys.note(heard.chat, heard.wa_message_id, key, event)
        yield
        self._tell(event)

    def _not_reached(self, code: str) -> None:
        self._hear(Disconnected(code))

    def _answered(self, ask: Callable[[], SendOutcome]) -> SendOutcome:
        """Ask WhatsApp for something, and take note of how long it takes to answer."""
        with self._stalls.answer_owed(), self._quality.waiting() as answered:
            outcome = ask()
            if outcome.result in ("sent", "refused"):
                answered()
        self._note_answer_to(outcome)
        return outcome

    def _look(self, sample: PathSample) -> None:
        self._stalls.look(sample)
        self._quality.look(sample)

    def _tell_of_stall(self, event: Stalled | Resumed) -> None:
        self._quality.interrupted()
        self._tell(frames.event_to_json(event))

    def _tell_of_quality(self, event: QualityChanged) -> None:
        self._tell(frames.event_to_json(event))

    def _tell_numbered(self, seq: int, event: dict[str, Any]) -> None:
        self._tell({**event, "seq": seq})

    def _report(self, _kind: str, _age_ms: int) -> None:
        """Once a second while a connection stands. What its path tells is no proof that WhatsApp understands what we say."""
        if (newest := self._signs.newest()) is not None:
            self._tell(frames.event_to_json(Evidence(*newest, self._quality.score)))
