"""One device in a cell: its folder, journal, exit and the present life of its client."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from keepline.domain.commands import Command, CommandOutcome
from keepline.domain.content.bodies import Content
from keepline.domain.link_events import (
    CaughtUp,
    Connected,
    Evidence,
    LinkEvent,
    MessageHeard,
    MessageUnreadable,
    ReceiptHeard,
    Resumed,
    SendOutcome,
    Stalled,
    Tried,
)
from keepline_connector import frames
from keepline_connector.cell.egress import Egress
from keepline_connector.cell.folder_lock import FolderLock
from keepline_connector.cell.journal import Journal
from keepline_connector.cell.library import LibraryClient
from keepline_connector.cell.stalls import Stalls
from keepline_connector.cell.store import DeviceStore

Tell = Callable[[dict[str, Any]], None]

log = logging.getLogger(__name__)


class CellDevice:
    """`tell` gets events as JSON, for the supervisor."""

    def __init__(self, device: str, folder: Path, upstream: str | None, egress: Egress, tell: Tell) -> None:
        self._device = device
        self._folder = folder
        self._egress = egress
        self._tell = tell
        self._store = DeviceStore(folder)
        self._held = FolderLock(folder)
        try:
            self._journal = Journal(folder / "journal.db", self._tell_numbered)
            self._stalls = Stalls(self._tell_of_stall)
            self._proxy = egress.open(device, upstream, self._report, self._stalls.look)
        except BaseException:
            self._held.release()  # The next try may come to another cell.
            raise
        self._client: LibraryClient | None = None
        self._lock = threading.Lock()

    def replay(self) -> None:
        """Tell again what was heard and is not in Firestore yet."""
        self._journal.replay()

    def connect(self) -> None:
        """Begin a new life of the client, after ending the one before as gently as `close` does."""
        with self._lock:
            if self._client is not None:
                self._egress.cut(self._device)
                self._client.wait_until_quiet()
            self._stop_client()
            self._egress.unbar(self._device)
            self._client = LibraryClient(self._device, self._store, self._proxy, self._hear)
            self._client.start()

    def cut(self) -> None:
        """Cut the socket, and let the library make no other: nothing leaves until `connect` begins a new life."""
        self._egress.bar(self._device)

    def send(self, chat: str, content: Content, tag: bytes) -> SendOutcome:
        client = self._client
        if client is None:
            return SendOutcome("not_sent", error_code="not_connected")
        with self._stalls.answer_owed():
            outcome = client.send(chat, content, tag)
        if outcome.wa_message_id is not None:
            # Before the supervisor hears of it: should it die now, or Firestore be away, nobody need doubt this send.
            self._journal.note_answer(tag, outcome.wa_message_id)
        return outcome

    def carry_out(self, command: Command) -> CommandOutcome:
        client = self._client
        if client is None:
            return CommandOutcome("not_connected")
        return client.carry_out(command)

    def probe(self) -> bool:
        client = self._client
        if client is None:
            return False
        with self._stalls.answer_owed():
            return client.probe()

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
            self._held.release()

    def _stop_client(self) -> None:
        if self._client is not None:
            self._client.stop()
            self._client = None

    def _hear(self, event: LinkEvent) -> None:
        if isinstance(event, (MessageHeard, MessageUnreadable, ReceiptHeard)):
            self._journal.append(frames.event_to_json(event))
            return
        if isinstance(event, Connected):
            self._stalls.connected()
        elif not isinstance(event, (CaughtUp, Stalled, Resumed)):
            self._stalls.disconnected()
        self._tell(frames.event_to_json(event))

    def _tell_of_stall(self, event: Stalled | Resumed) -> None:
        self._tell(frames.event_to_json(event))

    def _tell_numbered(self, seq: int, event: dict[str, Any]) -> None:
        self._tell({**event, "seq": seq})

    def _report(self, kind: str, age_ms: int) -> None:
        self._tell(frames.event_to_json(Evidence(kind, age_ms)))
