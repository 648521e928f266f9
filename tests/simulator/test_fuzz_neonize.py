"""Malformed and senseless stanzas from the server: neonize may ignore them, come back, or die, but it must not hang.

What it did is recorded as properties of the test (`pytest --junitxml`), for whoever has to decide what a crash may cost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.jid import LID_SERVER, PN_SERVER, SERVER_JID, Jid
from simulator.nodes import Node, encode
from simulator.session import Session
from simulator.testing import NeonizeClient, RunningSimulator
from simulator.testing.fuzz import Fuzz

BOB = "14155558199"
STANZAS_PER_ROUND = 25
ROUNDS = 8
# A client that has not answered by then hangs: whatsmeow's own wait for an answer is shortened to a few seconds.
ANSWER_SECONDS_MAX, REQUEST_TIMEOUT_S = 30.0, 3.0
ATTEMPTS = 3


def sensible(ada: Jid, bob: Jid) -> list[Node]:
    """One of each kind of stanza that a server sends."""
    sealed = Node("enc", {"v": "2", "type": "msg"}, b"\x33" + bytes(60))
    listing = [Node("device", {"jid": ada})]

    def notification(kind: str, *children: Node, sender: Jid = ada) -> Node:
        return Node("notification", {"from": sender, "type": kind, "id": f"N{kind}", "t": "1790000000"}, list(children))

    return [
        Node("message", {"from": bob, "id": "M1", "t": "1790000000", "type": "text", "notify": "Bob"}, [sealed]),
        Node("message", {"from": Jid("1203", "g.us"), "participant": bob, "id": "M2", "t": "1", "type": "text"}, [sealed]),
        Node("message", {"from": ada, "recipient": bob, "id": "M3", "t": "1", "type": "media"}, [sealed]),
        Node("receipt", {"from": bob, "id": "R1", "t": "1", "type": "read"}, [Node("list", {}, [Node("item", {"id": "R2"})])]),
        Node("receipt", {"from": bob, "id": "R3", "type": "retry"}, [Node("retry", {"count": "1", "id": "R3", "v": "1"})]),
        notification("encrypt", Node("count", {"value": "5"}), sender=SERVER_JID),
        notification("encrypt", Node("identity"), sender=bob),
        notification("account_sync", Node("devices", {"dhash": "2:x"}, listing)),
        notification("devices", Node("add", {"device_hash": "2:x"}, [Node("device", {"jid": bob})]), sender=bob),
        notification("server_sync", Node("collection", {"name": "regular", "version": "1"}), sender=SERVER_JID),
        notification("picture", Node("set", {"jid": bob, "id": "1", "author": bob}), sender=bob),
        notification("w:gp2", Node("create", {}, [Node("group", {"id": "1203"})]), sender=Jid("1203", "g.us")),
        notification("privacy_token", Node("tokens", {}, [Node("token", {"type": "trusted_contact", "t": "1"}, b"x")])),
        notification("mediaretry", Node("rmr", {"jid": bob}), Node("error", {"code": "1"})),
        notification("link_code_companion_reg", Node("link_code_companion_reg", {"stage": "primary_hello"})),
        Node("ib", {"from": SERVER_JID}, [Node("offline_preview", {"count": "1"}), Node("dirty", {"type": "groups"})]),
        Node("iq", {"from": SERVER_JID, "id": "I1", "type": "set", "xmlns": "md"}, [Node("pair-success")]),
        Node("iq", {"from": SERVER_JID, "id": "I2", "type": "get", "xmlns": "urn:xmpp:ping"}),
        Node("call", {"from": bob, "id": "C1", "t": "1"}, [Node("offer", {"call-creator": bob, "call-id": "1"})]),
        Node("presence", {"from": bob, "type": "unavailable", "last": "1790000000"}),
        Node("chatstate", {"from": bob}, [Node("composing", {"media": "audio"})]),
        Node("success", {"t": "1790000000", "lid": ada}),
    ]  # fmt: skip


class Victim:
    """A linked neonize client that is started again when it dies."""

    def __init__(self, running: RunningSimulator, store: Path, number: str) -> None:
        self._running, self._store, self._number = running, store, number
        # Why it had to be started again.
        self.harm: list[str] = []
        self.client = self._start()

    def link(self) -> None:
        self._running.client.add_phone(self._number)
        self._running.client.scan(self._number, self.client.wait("qr")["qr"])
        self.client.wait("offline_done")

    def hear(self, frames: list[bytes]) -> None:
        """Says these things to it, in one go, if it is there."""

        async def speak() -> None:
            link = self._running.simulator.phone(self._number).account.companions[1].link
            for frame in frames if isinstance(link, Session) else ():
                link.stream.send_bytes(frame)

        self._running.call(speak())

    def is_well(self) -> bool:
        """Whether it still sends. If it died or stays without connection, that is recorded and it is started again."""
        error = ""
        for _ in range(ATTEMPTS):
            try:
                self.client.result(self.client.begin_send(BOB, "still here"), ANSWER_SECONDS_MAX)
                return True
            except RuntimeError as problem:
                error = str(problem)
            except (AssertionError, BrokenPipeError):
                if not self.client.exited():
                    raise
                self._restart("died: " + last_words(self.client.log()))
                return False
        self._restart("down: " + error)
        return False

    def _restart(self, why: str) -> None:
        self.harm.append(why)
        self.client.close()
        self.client = self._start()
        self.client.wait("connected")

    def _start(self) -> NeonizeClient:
        return NeonizeClient(self._running.about, self._store, request_timeout=REQUEST_TIMEOUT_S)


def last_words(log: str) -> str:
    """Go's reason and the first functions of its stack."""
    at = max(log.rfind("\npanic:"), log.rfind("\nfatal error:"), log.rfind("\nSIG"))
    lines = log[at:].strip().splitlines()
    calls = [line.partition("({")[0] for line in lines[1:] if line.startswith(("go.mau.fi", "github.com"))]
    return " < ".join([lines[0], *calls[:4]])


def senseless(fuzz: Fuzz, templates: list[Node]) -> bytes:
    return encode(fuzz.node(fuzz.random.choice(("message", "receipt", "notification", "ib", "iq", "call"))))


def bent(fuzz: Fuzz, templates: list[Node]) -> bytes:
    return encode(fuzz.bent(fuzz.random.choice(templates)))


def mangled(fuzz: Fuzz, templates: list[Node]) -> bytes:
    return fuzz.mangled(encode(fuzz.random.choice(templates)))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("number", "kind"), [("14155558100", senseless), ("14155558101", bent), ("14155558102", mangled)]
)
def test_neonize_does_not_hang_on(
    running: RunningSimulator,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    number: str,
    kind: Callable[[Fuzz, list[Node]], bytes],
) -> None:
    if BOB not in [phone["number"] for phone in running.client.phones()]:
        running.client.add_phone(BOB)
    victim = Victim(running, tmp_path / "victim.db", number)
    try:
        victim.link()
        account, bob = running.simulator.phone(number).account, running.simulator.phone(BOB).account
        jids = [one for member in (account, bob) for one in (member.pn_jid, member.lid_jid)]
        templates = sensible(Jid(account.lid, LID_SERVER), Jid(bob.lid, LID_SERVER))
        for seed in range(ROUNDS):
            fuzz = Fuzz(seed, [*jids, Jid(number, PN_SERVER, 1)])
            victim.hear([kind(fuzz, templates) for _ in range(STANZAS_PER_ROUND)])
            victim.is_well()
        record_property("neonize_started_again", len(victim.harm))
        for harm in victim.harm:
            record_property("neonize_harm", harm)
            print(f"{kind.__name__}: {harm}")
    finally:
        victim.client.close()
