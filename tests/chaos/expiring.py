"""Takes out of a run's Firestore what has come to its end, having noted what became of it.

The emulator has no indexes: for each change that somebody listens to it looks at every document of every collection (0.4 µs for
each of them and each listener), so what a message costs grows with all that was ever written. Firestore's own cost does not. A
run of tens of thousands of messages is therefore kept small from outside; what was noted is judged with the rest in the end
(aftermath.py).

Of the messages only those go that their clients have in their books, when they have come to their end and nothing more can come
of them. Whatever lacks something stays, for the judgement. Of the stored sessions of the linked devices those segments go that
their newest version has in itself. Keepline keeps them for two versions more, for a restore that finds the newest one broken:
up to 2,000 for each device. The emulator becomes slower all the same, for it keeps what was deleted (decision 41).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter

from keepline.adapters.firestore import to_document
from keepline.domain.compaction import removable
from keepline.records.changes import MESSAGES
from keepline.records.outbox import OUTBOX
from keepline.records.session_docs import SEGMENTS, SESSIONS, Head, to_link
from keepline_local.run_file import Run
from tests.chaos.doubts import emulator
from tests.chaos.load import Book

LOOK_S = 2.0
# After its last receipt a message stays so long: by then its reader has read it, or never will (load.py, READ_PAUSE_S), and
# its client, which repeats a call that it got no answer to, has had its answer.
KEPT = timedelta(seconds=20)
# So many are asked for at a look, the oldest first.
LOOK_ROWS_MAX = 1_000
BATCH_MAX = 400

Fields = Mapping[str, Any]


@dataclass
class Noted:
    """What became of messages that are not in Firestore any more."""

    states: dict[str, str] = field(default_factory=dict)
    """Of what was sent: the last state, by message id."""
    recorded: defaultdict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Of what came in: WhatsApp's id by message id, for each session."""


@dataclass(frozen=True)
class _Open:
    """A message that is still there, as far as is known; accepted before `since`."""

    text: str
    since: datetime


class Choosing:
    """Which messages may go. It notes those that it names: whoever has them named takes them away."""

    def __init__(self, book: Book) -> None:
        self.noted = Noted()
        self._book = book
        self._open: dict[str, _Open] = {}  # by message id, the oldest first
        self._sent_taken = self._read_taken = self._said_taken = 0
        self._read: set[str] = set()  # texts of open messages
        self._said: set[tuple[str, str]] = set()  # sessions and WhatsApp's ids of what is still recorded

    def take_book(self, now: datetime) -> None:
        """What is new in it. Others append to its lists meanwhile."""
        sent, read, said = (
            self._book.sent[self._sent_taken :],
            self._book.read[self._read_taken :],
            self._book.said[self._said_taken :],
        )
        self._sent_taken += len(sent)
        self._read_taken += len(read)
        self._said_taken += len(said)
        self._open.update((one.message_id, _Open(one.text, now)) for one in sent)
        self._read.update(read)
        self._said.update((one.session_id, one.wa_message_id) for one in said)

    def due(self, now: datetime) -> list[str]:
        """The ids of sent messages that are worth a look."""
        return [message_id for message_id, one in self._open.items() if now - one.since >= KEPT][:LOOK_ROWS_MAX]

    def ended(self, rows: Mapping[str, Fields], now: datetime) -> list[str]:
        """Which of the rows, by message id, are at the end that is expected of them, and have been for long enough."""
        found = []
        for message_id, fields in rows.items():
            text = self._open[message_id].text
            end = "read" if text in self._read else "delivered"
            if fields["state"] == end and now - max(fields["times"].values()) >= KEPT:
                self.noted.states[message_id] = end
                self._read.discard(text)
                del self._open[message_id]
                found.append(message_id)
        return found

    def heard(self, records: Iterable[Fields]) -> list[Fields]:
        """Which of these records are of what people said."""
        found = []
        for fields in records:
            if (fields["session_id"], fields["wa_message_id"]) in self._said:
                self.noted.recorded[fields["session_id"]][fields["message_id"]] = fields["wa_message_id"]
                found.append(fields)
        return found


class Expiring:
    """From its making until `stop`, which returns what was noted."""

    def __init__(self, run: Run, book: Book) -> None:
        with emulator(run.firestore):
            self._client = firestore.Client(project=run.project)
        self._choosing = Choosing(book)
        self._cleared: dict[str, int] = {}  # up to which sequence, by the path of a stored session
        self._stopping = threading.Event()
        self._working = threading.Thread(target=self._work, name="expiring", daemon=True)
        self._working.start()

    def stop(self) -> Noted:
        assert self._working.is_alive(), "finished messages were not taken away to the end; why is printed above"
        self._stopping.set()
        self._working.join()
        self._client.close()  # type: ignore[no-untyped-call]
        return self._choosing.noted

    def _work(self) -> None:
        while not self._stopping.wait(LOOK_S):
            now = datetime.now(UTC)
            self._choosing.take_book(now)
            self._take_away(self._ended(now))
            self._take_away(self._heard(now))
            self._take_away(self._contained())

    def _ended(self, now: datetime) -> list[Any]:
        rows = self._client.collection(OUTBOX)
        asked = [rows.document(message_id) for message_id in self._choosing.due(now)]
        found = self._client.get_all(asked, field_paths=["state", "times"])
        fields = {row.id: row.to_dict() or {} for row in found if row.exists}
        return [rows.document(message_id) for message_id in self._choosing.ended(fields, now)]

    def _heard(self, now: datetime) -> list[Any]:
        old = FieldFilter("times.recorded", "<=", now - KEPT)
        found = self._client.collection_group(MESSAGES).where(filter=old).limit(LOOK_ROWS_MAX).stream()
        by_id = {(fields := record.to_dict() or {})["message_id"]: (record.reference, fields) for record in found}
        gone = self._choosing.heard(fields for _, fields in by_id.values())
        return [by_id[fields["message_id"]][0] for fields in gone]

    def _contained(self) -> list[Any]:
        """The segments that the newest versions contain, without those that hold a place against earlier holders."""
        gone = []
        for found in self._client.collection(SESSIONS).stream():
            head = Head.read(to_document(found))
            end = head.versions[-1].sequence if head.versions else 0
            if end <= self._cleared.get(found.reference.path, 0):
                continue
            below = found.reference.collection(SEGMENTS).where(filter=FieldFilter("sequence", "<=", end))
            segments = list(below.order_by("sequence").stream())
            links = [to_link(to_document(segment)) for segment in segments]
            references = {link.sequence: segment.reference for link, segment in zip(links, segments, strict=True)}
            gone += [references[link.sequence] for link in removable(links, end, head.epoch)]
            self._cleared[found.reference.path] = end
        return gone

    def _take_away(self, references: list[Any]) -> None:
        for start in range(0, len(references), BATCH_MAX):
            batch = self._client.batch()
            for one in references[start : start + BATCH_MAX]:
                batch.delete(one)
            batch.commit()
