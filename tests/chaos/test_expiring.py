"""What was taken away while a run went on is judged like what is still there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from google.cloud import firestore

from keepline.domain.sealing import FORMAT, SegmentKind
from keepline.records import session_docs
from keepline_local.emulators import firestore_emulator
from tests.chaos import aftermath
from tests.chaos.aftermath import Aftermath
from tests.chaos.checker import Said, Sent, broken, check
from tests.chaos.doubts import emulator
from tests.chaos.expiring import KEPT, Choosing, Expiring, Noted
from tests.chaos.load import Book
from tests.chaos.recovery import until

BEGIN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LATER = BEGIN + 2 * KEPT
TEXTS = {"chat": [f"text {n}" for n in (1, 2, 3)]}


def book() -> Book:
    return Book(
        sent=[Sent(f"m_{n}", "chat", n, f"text {n}") for n in (1, 2, 3)],
        said=[Said("wa_1", "session", "chat", "hello"), Said("wa_2", "session", "chat", "hello?")],
        read=["text 2"],
    )


def row(state: str, at: datetime = BEGIN) -> dict[str, Any]:
    return {"state": state, "times": {"accepted": BEGIN, state: at}}


def record(wa_id: str) -> dict[str, Any]:
    return {"session_id": "session", "message_id": f"i_{wa_id}", "wa_message_id": wa_id}


# What may go


def chosen(rows: dict[str, Any], now: datetime = LATER) -> list[str]:
    choosing = Choosing(book())
    choosing.take_book(BEGIN)
    return choosing.ended(rows, now)


def test_what_is_at_its_end_goes_and_is_noted() -> None:
    choosing = Choosing(book())
    choosing.take_book(BEGIN)
    assert choosing.due(BEGIN) == []
    assert choosing.due(LATER) == ["m_1", "m_2", "m_3"]
    assert choosing.ended({"m_1": row("delivered"), "m_2": row("read"), "m_3": row("sent")}, LATER) == ["m_1", "m_2"]
    assert choosing.noted.states == {"m_1": "delivered", "m_2": "read"}
    assert choosing.due(LATER) == ["m_3"]


@pytest.mark.parametrize(
    "planted",
    [
        {"m_1": row("sent")},
        {"m_1": row("failed")},
        {"m_1": row("read")},  # before it is in the book that somebody has read it
        {"m_2": row("delivered")},  # but it was read
        {"m_1": row("delivered", LATER - timedelta(seconds=1))},  # its reader may be about to read it
        {},
    ],
)
def test_what_lacks_something_stays(planted: dict[str, Any]) -> None:
    assert chosen(planted) == []


def test_only_what_a_person_said_goes_of_the_records() -> None:
    choosing = Choosing(book())
    choosing.take_book(BEGIN)
    assert choosing.heard([record("wa_1"), record("wa_unknown")]) == [record("wa_1")]
    assert choosing.noted.recorded == {"session": {"i_wa_1": "wa_1"}}


def test_segments_that_the_newest_version_contains_go_but_for_the_fences() -> None:
    account, project = "tenant_session", "expiring"
    with firestore_emulator() as host:
        with emulator(host):
            client = firestore.Client(project=project)
        version = {"version": 1, "sequence": 4, "chunks": 1, "bytes": 10, "saved_at": BEGIN}
        head = {"tenant": "tenant", "account": account, "slot": "a", "wrapped_key": b"key", "holder": "connector-1"}
        client.document(session_docs.head_path(account, "a")).set(
            head | {"epoch": 1, "format": FORMAT, "versions": [version]}
        )
        for sequence in range(1, 7):
            kind = SegmentKind.TAKEN if sequence == 1 else SegmentKind.ROWS
            fields = {"sequence": sequence, "kind": kind.value, "epoch": 1}
            client.document(session_docs.segment_path(account, "a", sequence)).set(fields)
        run: Any = SimpleNamespace(firestore=host, project=project)
        expiring = Expiring(run, Book())

        def left() -> list[int]:
            return sorted(int(one.id) for one in client.collection_group(session_docs.SEGMENTS).stream())

        until(lambda: left() == [1, 4, 5, 6], "the segments before the newest version's last one to be gone")
        expiring.stop()
        client.close()  # type: ignore[no-untyped-call]


# What is judged


class Api:
    """What is still there. The first answer to each question is that Firestore is away."""

    def __init__(self, states: dict[str, str], records: list[str]) -> None:
        self._states = states
        self._records = records
        self._asked: set[str] = set()

    def call(self, method: str, path: str, **_: Any) -> Any:
        if path not in self._asked:
            self._asked.add(path)
            return SimpleNamespace(status_code=503)
        if path == "/api/messages":
            page = [record(one) | {"direction": "in"} for one in self._records]
            return SimpleNamespace(status_code=200, json=lambda: {"messages": page, "next_before": None})
        state = self._states.get(path.removeprefix("/api/messages/"))
        return SimpleNamespace(status_code=404 if state is None else 200, json=lambda: {"state": state})


def judged(monkeypatch: pytest.MonkeyPatch, noted: Noted, states: dict[str, str], records: list[str]) -> list[str]:
    monkeypatch.setattr(aftermath, "Api", lambda *_: Api(states, records))
    monkeypatch.setattr(aftermath, "QUIET_S", 0.1)
    monkeypatch.setattr(aftermath, "SETTLE_LOOK_S", 0.01)
    run: Any = SimpleNamespace(run=SimpleNamespace(api="", api_key="", simulator="http://nowhere"))
    after, all_ = Aftermath(run, lambda _: None, noted), book()
    verdict = check(all_.sent, TEXTS, after.settle(all_), all_.read, all_.said, {"session": after.recorded("session")})
    return broken("standby", verdict, 0)


def noted(states: dict[str, str], *records: str) -> Noted:
    found = Noted(states=states)
    for one in records:
        found.recorded["session"][f"i_{one}"] = one
    return found


GONE = {"m_1": "delivered", "m_2": "read"}


def test_what_is_gone_and_what_is_there_are_judged_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, noted(GONE, "wa_1"), {"m_3": "delivered"}, ["wa_2"]) == []


def test_a_record_that_came_back_counts_once_and_a_second_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, noted(GONE, "wa_1"), {"m_3": "delivered"}, ["wa_1", "wa_2"]) == []
    twice = judged(monkeypatch, noted(GONE, "wa_1"), {"m_3": "delivered"}, ["wa_2", "wa_2"])
    assert twice == ["1 incoming messages are recorded twice"]


@pytest.mark.parametrize(
    ("gone", "there", "records", "found"),
    [
        (noted(GONE, "wa_1"), {}, ["wa_2"], "1 messages were shown, but for the API they were not even sent"),
        (noted(GONE, "wa_1"), {"m_3": "sent"}, ["wa_2"], "1 messages lack a receipt that their recipient sent"),
        (noted(GONE | {"m_2": "delivered"}, "wa_1"), {"m_3": "delivered"}, ["wa_2"], "1 messages lack a receipt"),
        (noted(GONE, "wa_1"), {"m_3": "delivered"}, [], "1 incoming messages are not recorded"),
        (noted(GONE), {"m_3": "delivered"}, ["wa_2"], "1 incoming messages are not recorded"),
    ],
)
def test_what_was_lost_is_found(
    monkeypatch: pytest.MonkeyPatch, gone: Noted, there: dict[str, str], records: list[str], found: str
) -> None:
    [sentence] = judged(monkeypatch, gone, there, records)
    assert sentence.startswith(found)
