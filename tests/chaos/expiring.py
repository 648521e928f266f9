"""Takes finished messages out of a run's Firestore, having noted what became of them.

The emulator has no indexes: it looks through a whole collection for each change that somebody listens to, so what a message
costs grows with all that were ever sent. Firestore's own cost does not. A run of tens of thousands of messages is therefore
kept small from outside; what was noted is judged with the rest in the end (aftermath.py).

Only what its client has in its book goes, when it has come to its end and nothing more can come of it. Whatever lacks
something stays, for the judgement.
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

from keepline.records.changes import MESSAGES
from keepline.records.outbox import OUTBOX
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


@dataclass
class Noted:
    """What became of messages that are not in Firestore any more."""

    states: dict[str, str] = field(default_factory=dict)
    """Of what was sent: the last state, by message id."""
    recorded: defaultdict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Of what came in: WhatsApp's id by message id, for each session."""


def has_ended(fields: Mapping[str, Any], *, was_read: bool, now: datetime) -> bool:
    """Whether a row is at the end that is expected of it, and has been for long enough."""
    return fields["state"] == ("read" if was_read else "delivered") and now - max(fields["times"].values()) >= KEPT


@dataclass(frozen=True)
class _Open:
    """A message that is still there, as far as is known; accepted before `since`."""

    text: str
    since: datetime


class Expiring:
    """From its making until `stop`, which returns what was noted."""

    def __init__(self, run: Run, book: Book) -> None:
        with emulator(run.firestore):
            self._client = firestore.Client(project=run.project)
        self._book = book
        self._noted = Noted()
        self._open: dict[str, _Open] = {}  # by message id, the oldest first
        self._seen = 0
        self._read: set[str] = set()
        self._read_seen = 0
        self._stopping = threading.Event()
        self._failed: Exception | None = None
        self._working = threading.Thread(target=self._work, name="expiring", daemon=True)
        self._working.start()

    def stop(self) -> Noted:
        """Raises what made it end before."""
        self._stopping.set()
        self._working.join()
        self._client.close()  # type: ignore[no-untyped-call]
        if self._failed is not None:
            raise self._failed
        return self._noted

    def _work(self) -> None:
        try:
            while not self._stopping.wait(LOOK_S):
                now = datetime.now(UTC)
                self._take_book(now)
                self._expire_sent(now)
                self._expire_heard(now)
        except Exception as failure:  # Told by `stop`: without it the run measures the emulator.
            self._failed = failure

    def _take_book(self, now: datetime) -> None:
        """What is new in it. Others append to its lists meanwhile."""
        sent, read = self._book.sent[self._seen :], self._book.read[self._read_seen :]
        self._seen += len(sent)
        self._read_seen += len(read)
        self._open.update((one.message_id, _Open(one.text, now)) for one in sent)
        self._read.update(read)

    def _expire_sent(self, now: datetime) -> None:
        asked = [message_id for message_id, one in self._open.items() if now - one.since >= KEPT][:LOOK_ROWS_MAX]
        references = [self._client.collection(OUTBOX).document(one) for one in asked]
        found = self._client.get_all(references, field_paths=["state", "times"])
        rows = {row.id: row.to_dict() for row in found if row.exists}
        ended = {
            message_id: fields["state"]
            for message_id, fields in rows.items()
            if has_ended(fields, was_read=self._open[message_id].text in self._read, now=now)
        }
        self._noted.states.update(ended)
        for message_id in ended:
            self._read.discard(self._open.pop(message_id).text)
        self._delete(self._client.collection(OUTBOX).document(one) for one in ended)

    def _expire_heard(self, now: datetime) -> None:
        known = {(one.session_id, one.wa_message_id) for one in self._book.said}
        query = self._client.collection_group(MESSAGES).where(filter=FieldFilter("times.recorded", "<=", now - KEPT))
        gone = []
        for document in query.limit(LOOK_ROWS_MAX).stream():
            fields = document.to_dict()
            if (fields["session_id"], fields["wa_message_id"]) in known:
                self._noted.recorded[fields["session_id"]][fields["message_id"]] = fields["wa_message_id"]
                gone.append(document.reference)
        self._delete(gone)

    def _delete(self, references: Iterable[Any]) -> None:
        left = list(references)
        while left:
            batch = self._client.batch()
            for one in left[:BATCH_MAX]:
                batch.delete(one)
            batch.commit()
            del left[:BATCH_MAX]
