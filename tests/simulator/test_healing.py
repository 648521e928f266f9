"""Messages that cannot be decrypted: "Waiting for this message", requests to send again, and what heals or stays lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator import Policy, Settings
from simulator.chats import WAITING_TEXT
from simulator.client import SimulatorClient, wait_for
from simulator.testing import NeonizeClient, RunningSimulator, link

Start = Callable[..., NeonizeClient]


def saved_copy(folder: Path, name: str, copy: str) -> None:
    """Copies the store of a client that has ended."""
    for suffix in ("", "-wal"):
        if (folder / f"{name}.db{suffix}").exists():
            shutil.copy(folder / f"{name}.db{suffix}", folder / f"{copy}.db{suffix}")


def healed(control: SimulatorClient, number: str, message_id: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        found = control.message(number, message_id)
        return found if found and not found["waiting"] else None

    return wait_for(probe, 15, f"{message_id} on the phone {number}")


def steps(control: SimulatorClient, message_id: str, to: str) -> list[str]:
    """What happened to a message on its way to a phone."""
    events, _ = control.log()
    mine = [event for event in events if event.get("id") == message_id]
    return [event["kind"] for event in mine if event.get("to") == to and event.get("device") in (0, None)]


def restored(
    control: SimulatorClient, neonize: Start, folder: Path, name: str, ada: str, bob: str
) -> tuple[NeonizeClient, str]:
    """A client whose store is older than what it sent and received since; and the last text that the phone of Bob showed."""
    client = neonize(name)
    link(control, client, ada)
    healed(control, bob, client.send(bob, "one"))
    told = control.send(bob, ada, "two")
    client.wait("message", lambda event: event["id"] == told)
    client.kill()
    saved_copy(folder, name, f"{name}-old")
    newer = neonize(name)
    newer.wait("connected")
    # Two keys of one chain are used up, so that the answer to the first request comes under a used one as well.
    healed(control, bob, newer.send(bob, "three"))
    healed(control, bob, newer.send(bob, "three again"))
    told = control.send(bob, ada, "four")
    newer.wait("message", lambda event: event["id"] == told)
    last = newer.send(bob, "five")
    healed(control, bob, last)
    wait_for(lambda: not control.devices(ada)[0]["queued"], 10, "everything to be acknowledged")
    newer.kill()
    old = neonize(f"{name}-old")
    old.wait("connected")
    return old, last


def test_an_older_store_heals_inbound(running: RunningSimulator, neonize: Start, tmp_path: Path) -> None:
    control, ada, bob = running.client, "14155555000", "14155555001"
    control.add_phone(bob)
    client, _ = restored(control, neonize, tmp_path, "in", ada, bob)
    told = control.send(bob, ada, "six")
    assert client.wait("undecryptable", lambda event: event["id"] == told)["hidden"] is False
    event = client.wait("message", lambda event: event["id"] == told)
    assert (event["text"], event["retry_count"]) == ("six", 1)
    asked = [one for one in control.log(kind="receipt")[0] if one["type"] == "retry" and one["id"] == told]
    assert len(asked) == 1


def test_an_older_store_heals_outbound_when_the_phone_asks_twice(
    running: RunningSimulator, neonize: Start, tmp_path: Path
) -> None:
    control, ada, bob = running.client, "14155555010", "14155555011"
    control.add_phone(bob)
    client, _ = restored(control, neonize, tmp_path, "out", ada, bob)
    sent = client.send(bob, "six")
    found = healed(control, bob, sent)
    # The first request brought the same session again, the second one came with new keys.
    assert (found["text"], found["retries"]) == ("six", 2)
    assert steps(control, sent, bob)[-1] == "shown" and steps(control, sent, bob).count("waiting") == 2
    healed(control, bob, client.send(bob, "seven"))


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[RunningSimulator]:
    settings = Settings(folder=tmp_path / "silent", policy=Policy(ask_when_key_was_used=False))
    with RunningSimulator(settings) as service:
        yield service


def test_an_older_store_loses_what_the_phone_takes_for_a_repetition(silent: RunningSimulator, tmp_path: Path) -> None:
    control, ada, bob = silent.client, "14155555020", "14155555021"
    control.add_phone(bob)
    clients: list[NeonizeClient] = []

    def start(name: str) -> NeonizeClient:
        clients.append(NeonizeClient(silent.about, tmp_path / f"{name}.db"))
        return clients[-1]

    try:
        client, last = restored(control, start, tmp_path, "lost", ada, bob)
        sent = client.send(bob, "six")
        wait_for(lambda: "lost" in steps(control, sent, bob), 10, "the phone to drop it")
        # The sender even gets a delivery receipt: nobody will ever know.
        client.wait("receipt", lambda event: sent in event["ids"])
        assert control.message(bob, sent) is None
        assert (control.message(bob, last) or {})["text"] == "five"
    finally:
        for one in clients:
            one.close()


def test_waiting_for_this_message_is_shown_until_it_heals(running: RunningSimulator, neonize: Start) -> None:
    control, ada, bob = running.client, "14155555030", "14155555031"
    control.add_phone(bob)
    client = neonize("waiting")
    link(control, client, ada)
    healed(control, bob, client.send(bob, "one"))
    # The phone loses its sessions, and its requests do not reach the device.
    fault = control.add_fault("lossy", {"number": ada, "direction": "out", "stanza": "receipt"})
    control.forget(bob, "sessions", ada)
    sent = client.send(bob, "two")
    shown = wait_for(lambda: control.message(bob, sent), 10, "the placeholder")
    assert (shown["kind"], shown["text"], shown["waiting"]) == ("waiting", WAITING_TEXT, True)
    assert shown["reason"]
    assert control.inbox(bob)[-1]["id"] == sent
    place = len(control.inbox(bob))
    # Undelivered requests come again with the next connection, and are answered then.
    control.clear_faults(fault)
    control.drop_connections(ada)
    after = healed(control, bob, sent)
    assert (after["kind"], after["text"]) == ("text", "two")
    # It is shown in its old place, once.
    assert [message["id"] for message in control.inbox(bob)].index(sent) == place - 1
    assert len(control.inbox(bob)) == place


def test_after_a_restart_the_device_cannot_send_again(running: RunningSimulator, neonize: Start) -> None:
    control, ada, bob = running.client, "14155555040", "14155555041"
    control.add_phone(bob)
    client = neonize("forgetful")
    link(control, client, ada)
    healed(control, bob, client.send(bob, "one"))
    fault = control.add_fault("lossy", {"number": ada, "direction": "out", "stanza": "receipt"})
    control.forget(bob, "sessions", ada)
    sent = client.send(bob, "two")
    wait_for(lambda: control.message(bob, sent), 10, "the placeholder")
    client.kill()
    control.clear_faults(fault)
    back = neonize("forgetful")
    back.wait("offline_done")
    wait_for(lambda: not control.devices(ada)[0]["queued"], 10, "the request to be acknowledged")
    healed(control, bob, back.send(bob, "three"))
    assert (control.message(bob, sent) or {})["waiting"]


def test_a_phone_that_lost_its_sessions_asks_the_device(running: RunningSimulator, neonize: Start) -> None:
    control, ada, bob = running.client, "14155555050", "14155555051"
    control.add_phone(bob)
    client = neonize("asked")
    link(control, client, ada)
    healed(control, bob, client.send(bob, "one"))
    control.forget(bob, "sessions", ada)
    found = healed(control, bob, client.send(bob, "two"))
    assert found["retries"] == 2
    told = control.send(bob, ada, "three")
    assert client.wait("message", lambda event: event["id"] == told)["text"] == "three"


def test_a_reaction_that_cannot_be_read_is_asked_for_hidden(
    running: RunningSimulator, neonize: Start, tmp_path: Path
) -> None:
    control, ada, bob = running.client, "14155555060", "14155555061"
    control.add_phone(bob)
    client, last = restored(control, neonize, tmp_path, "hidden", ada, bob)
    reaction = control.react(bob, last, "👍")
    assert client.wait("undecryptable", lambda event: event["id"] == reaction)["hidden"]
    client.wait("message", lambda event: event["id"] == reaction)
    assert client.content(reaction)["reactionMessage"]["text"] == "👍"
