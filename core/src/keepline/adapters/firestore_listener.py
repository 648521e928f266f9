"""The client's listener, with a result that is kept and not made anew for each change.

The client's own (google-cloud-firestore 2.34.1, watch.py) copies all that it knows for each document that comes or goes, sorts
it with a comparison that makes protobuf messages, and copies each document's fields once more: with 400 messages waiting that
was more than half of what a connector did while it sent them. The stream, its resumption and its reading stay the client's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1.watch import ChangeType, Watch

from keepline.ports.documents import Document, Fields

_OPEN_LIMIT_S = 5.0


class Listener(Watch):
    """Tells the whole result of a query, in no order, at the start and after each change.

    The client's `doc_map` and `change_map` hold the port's documents here, by their full names.
    """

    @classmethod
    def on(cls, query: Any, told: Callable[[Collection[Document]], None]) -> Listener:
        """Listens at once; raises what the client raises. `told` is called in the client's thread and must not raise."""
        listener: Listener = cls.for_query(query, told, _document)  # type: ignore[no-untyped-call]
        return listener

    def push(self, _read_time: object, next_resume_token: bytes) -> None:
        """The server says that all it has told until now belongs together."""
        changed = not self.has_pushed
        for name, document in self.change_map.items():
            if document is ChangeType.REMOVED:
                changed |= self.doc_map.pop(name, None) is not None
            elif name not in self.doc_map or self.doc_map[name].version != document.version:
                self.doc_map[name] = document
                changed = True
        self.change_map.clear()
        self.resume_token = next_resume_token
        if changed:
            self.has_pushed = True
            self._snapshot_callback(list(self.doc_map.values()))

    def _reset_docs(self) -> None:
        """The server begins anew; what it does not tell again is gone."""
        self.change_map.clear()
        self.change_map.update(dict.fromkeys(self.doc_map, ChangeType.REMOVED))
        self.resume_token = None
        self.current = False

    def end(self) -> None:
        """Stop listening; comes back when the stream is closed."""
        rpc, opening = self._rpc, getattr(self._consumer, "_thread", None)
        self.unsubscribe()  # type: ignore[no-untyped-call]
        # The client opens the stream in its thread. Closed before that, it leaves the stream open and reads nothing from it: the
        # server keeps everything that it has to say there, for as long as this process lives.
        if opening is not None:
            opening.join(_OPEN_LIMIT_S)
        if rpc is not None and rpc.call is not None:
            rpc.call.cancel()


def _document(reference: Any, data: Fields, create_time: datetime, update_time: datetime, **_rest: object) -> Document:
    """What the client makes for each change, called as it calls its own class."""
    return Document(reference.path, data, update_time, create_time)
