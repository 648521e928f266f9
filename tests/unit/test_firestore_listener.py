"""What a Firestore listener tells: the whole result, when it has changed, in its query's order. Streams are in tests/contract."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from google.cloud.firestore_v1.watch import ChangeType

from keepline.adapters.firestore_listener import Listener
from keepline.adapters.firestore_watch import in_order
from keepline.ports.documents import Document, Query

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def document(name: str, version: int = 0, **fields: Any) -> Document:
    return Document(f"things/{name}", fields, NOW.replace(microsecond=version), NOW)


class Unconnected(Listener):
    """A listener without its stream: the state that the client's constructor makes."""

    def __init__(self) -> None:
        self.told: list[set[str]] = []
        self.doc_map: dict[str, Document] = {}
        self.change_map: dict[str, Any] = {}
        self.has_pushed = False
        self.current = True
        self._snapshot_callback = self._tell

    def _tell(self, documents: Collection[Document]) -> None:
        self.told.append({one.id for one in documents})

    def hear(self, *documents: Document, gone: Collection[str] = ()) -> None:
        self.change_map |= {one.path: one for one in documents} | {
            f"things/{name}": ChangeType.REMOVED for name in gone
        }
        self.push(NOW, b"a token")


def test_each_change_brings_the_whole_result() -> None:
    listener = Unconnected()
    listener.hear(document("a"), document("b"))
    listener.hear(document("c"))
    listener.hear(gone=["a"])
    assert listener.told == [{"a", "b"}, {"a", "b", "c"}, {"b", "c"}]


def test_an_empty_result_is_told_once() -> None:
    listener = Unconnected()
    listener.hear()
    listener.hear()
    listener.hear(gone=["never-there"])
    assert listener.told == [set()]


def test_what_is_said_again_is_no_change_and_a_new_version_is_one() -> None:
    listener = Unconnected()
    listener.hear(document("a", version=1))
    listener.hear(document("a", version=1))
    assert len(listener.told) == 1
    listener.hear(document("a", version=2, n=5))
    assert len(listener.told) == 2
    assert listener.doc_map["things/a"].fields == {"n": 5}


def test_after_a_reset_what_is_not_told_again_is_gone() -> None:
    listener = Unconnected()
    listener.hear(document("a"), document("b"))
    listener._reset_docs()
    assert not listener.current and listener.resume_token is None
    listener.hear(document("b"), document("c"))
    assert listener.told[-1] == {"b", "c"}


def test_a_result_is_in_its_querys_order() -> None:
    documents = [
        document("a", n={"at": 2}),
        document("c", n={"at": 1}),
        document("b", n={"at": 1}),
        document("d", n={"at": None}),
    ]

    def order(query: Query) -> str:
        return "".join(one.id for one in in_order(documents, query))

    assert order(Query("things", limit=9)) == "abcd"
    assert order(Query("things", (), "n.at", limit=9)) == "dbca"
    assert order(Query("things", (), "n.at", descending=True, limit=9)) == "acbd"
