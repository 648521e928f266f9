"""A device's queue keeps what is not acknowledged; the log keeps the truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator import limits, queues
from simulator.jid import Jid
from simulator.log import TruthLog
from simulator.nodes import Node
from simulator.queues import DeviceQueue, Item, key_of

BOB = Jid("2", "lid")


def message(name: str) -> Node:
    return Node("message", {"id": name, "from": BOB})


def ack(queue: DeviceQueue, name: str) -> Item | None:
    return queue.acknowledge(key_of(Node("receipt", {"id": name, "to": BOB}), BOB, "message"))


def collect(queue: DeviceQueue, limit: int = 100) -> list[str]:
    sent: list[str] = []

    def send(item: Item) -> bool:
        if len(sent) >= limit:
            return False
        sent.append(item.node.text("id"))
        return True

    queue.attach(send)
    return sent


def test_everything_unacknowledged_is_sent_again_in_order() -> None:
    queue = DeviceQueue(lambda item: None)
    for name in "abc":
        queue.push(message(name))
    assert collect(queue) == ["a", "b", "c"]
    assert ack(queue, "b") is not None and ack(queue, "b") is None
    queue.detach()
    queue.push(message("d"))
    assert collect(queue) == ["a", "c", "d"]
    for name in "acd":
        ack(queue, name)
    assert len(queue) == 0 and collect(queue) == []


def test_a_slow_socket_gets_the_rest_when_it_drains() -> None:
    queue = DeviceQueue(lambda item: None)
    sent = collect(queue, 2)
    for name in "abcd":
        queue.push(message(name))
    assert sent == ["a", "b"]
    del sent[:]
    queue.pump()
    assert sent == ["c", "d"]


def test_the_same_id_twice_needs_two_acknowledgements() -> None:
    queue = DeviceQueue(lambda item: None)
    queue.push(message("a"))
    queue.push(message("a"))
    ack(queue, "a")
    assert len(queue) == 1


def test_a_full_queue_loses_its_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "DEVICE_QUEUE_STANZAS_MAX", 3)
    lost: list[Item] = []
    queue = DeviceQueue(lost.append)
    for name in "abcd":
        queue.push(message(name))
    assert [item.node.text("id") for item in lost] == ["a"] and len(queue) == 3
    assert limits.DEVICE_QUEUE_STANZAS_MAX == 100_000


def test_the_log_is_read_by_cursor_and_kind(tmp_path: Path) -> None:
    log = TruthLog(tmp_path / "truth.jsonl", clock=lambda: 12.5)
    for number in range(5):
        log.add("accepted" if number % 2 else "queued", id=str(number), tag=None)
    events, cursor = log.since(0, limit=2)
    assert [event["id"] for event in events] == ["0", "1"] and events[0] == {
        "n": 1,
        "at": 12.5,
        "kind": "queued",
        "id": "0",
    }
    events, cursor = log.since(cursor)
    assert [event["id"] for event in events] == ["2", "3", "4"]
    assert log.since(cursor) == ([], cursor)
    assert [event["id"] for event in log.since(0, "accepted")[0]] == ["1", "3"]
    log.close()
    assert len([json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]) == 5
