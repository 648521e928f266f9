"""A world in which the requests of the description's examples make sense: what they name is there, and a connector obeys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from keepline.domain.commands import command_from_map
from keepline.domain.link_events import MessageHeard
from keepline.domain.live_events import Position
from keepline.domain.pairing import CodeAnswer
from keepline.ports.documents import Create, Update, Version, Write
from keepline.records import accounts, commands, history, uptime
from keepline.records.accounts import AnsweredCode, Pairing
from keepline.records.commands import Order
from keepline.records.uptime import Settings
from keepline.testing.groups import FakeGroups
from keepline.usecases import commanding, live_events, pairing_codes
from keepline.usecases.limiting import LIMITS

from .report_support import make_report
from .support import CHAT, NOON, World

SESSION = "support"
ACCOUNT = f"anna_{SESSION}"
OWN, BEA, CAROL = "14155550100", "14155550123", "14155550199"
POLL = {"poll": {"question": "When?", "options": ["at seven", "at eight"], "selectable": 1}}

# Files need a store of files behind them: test_media asks for these.
OF_FILES = ("take_in_file", "get_file", "download_file")
# What the examples of the description name.
EXAMPLE_IDS = (
    *("m_6temzapiw5q236squ7ntrghjom", "i_t7um2p4ewmuwdfhmmbdsjjyevt", "i_poll2p4ewmuwdfhmmbdsjjyevt"),
    *("wk4q2m3zt6b7r5xoe", "3f1c0a9be27d4c55", "evt_kw2qa7ivnbzyvw3bm72gyhx3lg"),
    *("session_banned_kw2qa7ivnbzyvw3bm72gyhx3lg_1", "chk4q2m3zt6b7r5xoe"),
    "connector-2",
)


def _wait_for_scan(world: World) -> None:
    world.set_state(ACCOUNT, "pairing", "waiting_for_scan")
    world.commit(Update(accounts.account_path(ACCOUNT), {"phone": None}))
    world.commit(Update(accounts.device_path(ACCOUNT, "a"), {"linked": False}))
    world.offer_qr(ACCOUNT, "2@qr")


def _add_standby(world: World) -> None:
    world.add_standby(ACCOUNT, "connected", "connected", linked=True)


# Requests that make sense in another state of the session than connected, by what is done before.
_BEFORE = {"get_qr_code": _wait_for_scan, "get_pairing_code": _wait_for_scan, "remove_standby": _add_standby}


class Seeded:
    """Anna's session `support`, with messages, a group, a webhook and a key. `ids` says what the ids of the examples are here."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, operation_id: str) -> None:
        self.world = world
        monkeypatch.setattr(pairing_codes, "LOOK_EVERY_S", 0.001)
        monkeypatch.setattr(pairing_codes, "CODE_WAIT_S", 0.05)
        monkeypatch.setattr(commanding, "_LOOK_MIN_S", 0.001)
        # A stream ends as soon as it has begun: whoever reads an answer to its end would wait for minutes.
        monkeypatch.setattr(live_events, "STREAM_S", 0.0)
        _obey(world, _groups())
        for limit in LIMITS:
            world.set_limit("anna", limit.name, count=100_000, period_s=1, burst=100_000)
        self.ids: dict[str, str] = {}
        if operation_id == "create_session":
            return
        world.add_session(SESSION, state="connected", code="connected", phone=OWN)
        world.beat(ACCOUNT)
        here = (
            self._sent(operation_id),
            world.hear(ACCOUNT, "WA1", NOON),
            self._poll(),
            self._made("/api/webhooks", url="https://a.example/", events=["*"])["webhook_id"],
            self._made("/api/keys", name="a till", scopes=["read"])["key_id"],
            self._place(),
            self._alert(),
            self._made("/api/alerts/channels", name="mail", url="mailto://me@a.example")["channel_id"],
            "c1",
        )
        self.ids = dict(zip(EXAMPLE_IDS, here, strict=True))
        if operation_id == "get_report":
            make_report(world, "anna")
        kind = uptime.URL if operation_id == "delete_target" else uptime.CONNECTOR
        target = uptime.target_of_connector("connector-1")
        world.commit(uptime.new_target(target, world.clock.now(), name="one", kind=kind, settings=Settings()))
        if operation_id in _BEFORE:
            _BEFORE[operation_id](world)

    def named(self, value: Any) -> Any:
        """What an example says, with the ids of this world."""
        text = json.dumps(value)
        for example, real in self.ids.items():
            text = text.replace(example, real)
        return json.loads(text)

    def _sent(self, operation_id: str) -> str:
        """A message of ours in the state that the request wants."""
        message_id: str = self.world.send(session=SESSION).get_json()["message_id"]
        now = self.world.clock.now()
        if operation_id == "replay_message":
            self.world.settle(message_id, state="failed", error_code="wa_463", **{"times.failed": now})
        elif operation_id != "cancel_message":
            self.world.settle(message_id, state="sent", wa_message_id="WA9", **{"times.sent": now})
        return message_id

    def _poll(self) -> str:
        at = NOON + timedelta(seconds=1)
        heard = MessageHeard(2, "WA2", CHAT, "14155550123", None, False, "poll", "When?", at)
        write = history.heard_message(ACCOUNT, "anna", SESSION, heard, POLL)
        self.world.commit(write)
        return str(write.fields["message_id"])

    def _place(self) -> str:
        """Where a listener to events can come back to: the beginning of the log."""
        self._made("/api/events/keep")
        return str(Position(self.world.clock.now()).token)

    def _alert(self) -> str:
        """Another session of hers is banned."""
        self.world.add_session("banned", state="banned", code="banned")
        self.world.run(self.world.process.alert_round.make())
        alert_id: str = self.world.get("/api/alerts").get_json()["alerts"][0]["alert_id"]
        return alert_id

    def _made(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.world.client.post(path, json=body, headers=self.world.anna)
        return dict(answer.get_json())


def _code(request: int) -> AnsweredCode:
    return AnsweredCode(request, CodeAnswer("1A2B-3C4D", 140.0), NOON)


def _groups() -> FakeGroups:
    """What WhatsApp knows of people and groups: the number runs a group with Bea."""
    groups = FakeGroups(OWN)
    groups.add_person(BEA)
    groups.add_person(CAROL)
    groups.add_group(OWN, "Walks", [BEA])
    return groups


def _obey(world: World, groups: FakeGroups) -> None:
    """Have every command and every request for a code answered as soon as it is written."""
    commit = world.store.commit

    async def committing(writes: Sequence[Write]) -> list[Version]:
        versions = await commit(writes)
        for write in writes:
            if isinstance(write, Create) and write.path.startswith(f"{commands.COMMANDS}/"):
                document = await world.store.get(write.path)
                assert document is not None
                order = Order.read(document)
                outcome = groups.carry_out(command_from_map(order.kind, order.arguments))
                await commit([commands.answer(order, "a", outcome)])
            elif write.path.startswith("pairing/"):
                document = await world.store.get(write.path)
                if document is not None and (asked := Pairing.read(document)).code_phone is not None:
                    await commit([accounts.answer_code(asked.account, asked.slot, _code(asked.code_requested))])
        return versions

    world.store.commit = committing  # type: ignore[method-assign]
