"""Groups and contacts as clients ask for them; the device's part is played by the fake."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keepline.domain.commands import CommandOutcome, command_from_map
from keepline.ports.documents import Query, Where
from keepline.records import commands
from keepline.records.commands import Order
from keepline.testing.groups import FakeGroups
from keepline.usecases.commanding import ANSWER_LIMIT_S
from keepline_functions import group_views, openapi

from .support import TIMEOUT_S, World, error_code

OWN, BEA, CAROL, DAN, NOBODY = "14155550100", "14155550123", "14155550199", "14155550177", "14155550666"
GROUP = "120363000000000000@g.us"


class Shop:
    """Anna's session, whose number has friends and groups, and whose device answers every command."""

    def __init__(self, world: World) -> None:
        world.add_session(state="connected", code="connected", phone=OWN)
        self.world = world
        self.whatsapp = FakeGroups(OWN)
        for phone in (BEA, CAROL, DAN):
            self.whatsapp.add_person(phone)
        self.whatsapp.people[DAN].asks_first = True
        self.answer: Callable[[Order], CommandOutcome | None] = self.of_whatsapp

    def of_whatsapp(self, order: Order) -> CommandOutcome:
        return self.whatsapp.carry_out(command_from_map(order.kind, order.arguments))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """A request, and what the device does meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            request = pool.submit(
                self.world.client.open, path, method=method, json=body, headers=self.world.anna | headers
            )
            deadline_s = time.monotonic() + TIMEOUT_S
            while not request.done() and time.monotonic() < deadline_s:
                self._carry_out_what_waits()
                time.sleep(0.005)
            return request.result(TIMEOUT_S)

    def _carry_out_what_waits(self) -> None:
        waiting = Query(commands.COMMANDS, (Where("state", "==", "waiting"),), limit=10)
        for document in self.world.run(self.world.store.query(waiting)):
            order = Order.read(document)
            outcome = self.answer(order)
            if outcome is not None:
                self.world.run(self.world.store.others_commit(commands.answer(order, "a", outcome)))


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


def person(shop: Shop, phone: str) -> dict[str, str]:
    return {"phone": phone, "lid": shop.whatsapp.people[phone].lid}


def test_a_group_is_made_seen_and_listed(shop: Shop) -> None:
    body = {"session_id": "shop", "subject": "Walks", "members": [f"+{BEA}", f"{DAN}@c.us"]}
    made = shop.ask("POST", "/api/groups", body, **{"Idempotency-Key": "one"})
    assert made.status_code == 201
    group = {
        "chat": GROUP,
        "subject": "Walks",
        "announcement": False,
        "locked": False,
        "owner": person(shop, OWN),
        "members": [{**person(shop, OWN), "admin": True}, {**person(shop, BEA), "admin": False}],
    }
    message = "They let only their contacts add them to groups: send them the invite link."
    error = {"code": "needs_invite", "message": message}
    assert made.get_json() == {**group, "refused": [{**person(shop, DAN), "action": "add", "error": error}]}
    assert (made.headers["X-RateLimit-Remaining"], "Idempotent-Replay" in made.headers) == ("9", False)
    again = shop.ask("POST", "/api/groups", body, **{"Idempotency-Key": "one"})
    assert (again.status_code, again.get_json()) == (201, made.get_json())
    assert (again.headers["Idempotent-Replay"], "X-RateLimit-Remaining" in again.headers) == ("true", False)
    seen = shop.ask("GET", f"/api/groups/{GROUP}?session_id=shop")
    assert seen.get_json() == group
    assert '"questions"' in seen.headers["RateLimit"]
    assert shop.ask("GET", "/api/groups?session_id=shop").get_json() == {
        "groups": [{"chat": GROUP, "subject": "Walks", "members": 2, "admin": True}],
        "total": 1,
    }


def test_a_group_is_changed_invited_to_and_left(shop: Shop) -> None:
    shop.whatsapp.add_group(OWN, "Walks", [BEA])
    body = {"session_id": "shop", "add": [CAROL, NOBODY], "promote": [BEA]}
    changed = shop.ask("POST", f"/api/groups/{GROUP}/members", body).get_json()
    assert changed["changed"] == [{**person(shop, CAROL), "action": "add"}, {**person(shop, BEA), "action": "promote"}]
    assert [(one["phone"], one["lid"], one["error"]["code"]) for one in changed["refused"]] == [
        (NOBODY, None, "not_on_whatsapp")
    ]
    renamed = shop.ask("PATCH", f"/api/groups/{GROUP}", {"session_id": "shop", "subject": "Runs"})
    assert renamed.get_json() == {"chat": GROUP, "subject": "Runs"}
    link = shop.ask("GET", f"/api/groups/{GROUP}/invite?session_id=shop").get_json()["link"]
    fresh = shop.ask("POST", f"/api/groups/{GROUP}/invite/reset", {"session_id": "shop"}).get_json()["link"]
    assert fresh == shop.whatsapp.groups[GROUP].link != link
    left = shop.ask("POST", f"/api/groups/{GROUP}/leave", {"session_id": "shop"})
    assert (left.status_code, left.data) == (204, b"")
    assert OWN not in shop.whatsapp.groups[GROUP].members
    assert shop.whatsapp.groups[GROUP].members == {BEA: True, CAROL: False}


def test_who_is_on_whatsapp_is_told_and_remembered_for_a_day(shop: Shop) -> None:
    body = {"session_id": "shop", "numbers": [f"+{BEA}", NOBODY]}
    checked = shop.ask("POST", "/api/contacts/check", body)
    at = "2026-03-01T12:00:00.000Z"
    assert checked.get_json()["contacts"] == [
        {"asked": f"+{BEA}", **person(shop, BEA), "on_whatsapp": True, "business_name": None, "checked_at": at},
        {"asked": NOBODY, "phone": NOBODY, "lid": None, "on_whatsapp": False, "business_name": None, "checked_at": at},
    ]
    assert checked.headers["X-RateLimit-Remaining"] == "48"
    shop.world.clock.advance(86_399)
    shop.answer = lambda order: pytest.fail("nobody need be asked")
    again = shop.ask("POST", "/api/contacts/check", body)
    assert again.get_json() == checked.get_json()
    assert "X-RateLimit-Remaining" not in again.headers
    # Another tenant's answers are its own.
    assert {document.fields["tenant"] for document in shop.world.all_in("contacts")} == {"anna"}


def test_what_somebody_shows_is_told(shop: Shop) -> None:
    shop.whatsapp.people[BEA].about = "At sea"
    seen = shop.ask("GET", f"/api/contacts/{BEA}?session_id=shop")
    shown = {"about": "At sea", "business_name": None, "picture": None, "picture_hidden": False}
    assert seen.get_json() == {**person(shop, BEA), **shown}
    shop.whatsapp.people[BEA].picture = "https://pps.whatsapp.net/1"
    seen = shop.ask("GET", f"/api/contacts/{BEA}?session_id=shop").get_json()
    assert seen["picture"] == {"id": "1", "url": "https://pps.whatsapp.net/1"}


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        ("wa_401", 409, "group_forbidden"),
        ("wa_403", 409, "group_forbidden"),
        ("wa_404", 404, "group_not_found"),
        ("wa_406", 400, "group_refused"),
        ("wa_419", 409, "group_full"),
        ("wa_429", 429, "wa_rate_limited"),
        ("wa_500", 503, "command_failed"),
        ("not_connected", 409, "not_connected"),
        ("outcome_unknown", 503, "outcome_unknown"),
    ],
)
def test_what_was_not_done_is_said_by_name(shop: Shop, code: str, status: int, shown: str) -> None:
    shop.answer = lambda order: CommandOutcome(code)
    answer = shop.ask("PATCH", f"/api/groups/{GROUP}", {"session_id": "shop", "subject": "Runs"})
    assert (answer.status_code, error_code(answer)) == (status, shown)


def test_a_change_that_was_begun_and_has_no_answer_is_unknown(shop: Shop) -> None:
    def begin(order: Order) -> None:
        shop.world.run(shop.world.store.others_commit(commands.begin(order, "a")))
        shop.world.clock.advance(ANSWER_LIMIT_S)

    shop.answer = begin
    answer = shop.ask("POST", f"/api/groups/{GROUP}/leave", {"session_id": "shop"}, **{"Idempotency-Key": "one"})
    assert (answer.status_code, error_code(answer)) == (503, "outcome_unknown")
    # The device has its answer after all.
    [document] = shop.world.all_in(commands.COMMANDS)
    shop.world.commit(commands.answer(Order.read(document), "a", CommandOutcome()))
    answer = shop.ask("POST", f"/api/groups/{GROUP}/leave", {"session_id": "shop"}, **{"Idempotency-Key": "one"})
    assert (answer.status_code, answer.headers["Idempotent-Replay"]) == (204, "true")


PEOPLE = ["14155550123"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/groups", None, 400, "missing_field"),
        ("GET", "/api/groups?session_id=hers", None, 404, "session_not_found"),
        ("GET", "/api/groups/14155550123?session_id=shop", None, 400, "bad_group"),
        ("GET", f"/api/groups/{'1' * 99}@g.us?session_id=shop", None, 400, "bad_group"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": "x"}, 400, "missing_field"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": "x", "members": []}, 400, "bad_field"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": "x", "members": PEOPLE * 101}, 400, "bad_field"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": " ", "members": PEOPLE}, 400, "bad_subject"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": "a\nb", "members": PEOPLE}, 400, "bad_subject"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": "a\0b", "members": PEOPLE}, 400, "bad_subject"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": "x" * 101, "members": PEOPLE}, 400, "bad_subject"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": "x", "members": ["12"]}, 400, "bad_number"),
        ("POST", "/api/groups", {"session_id": "shop", "subject": "x", "members": [GROUP]}, 400, "bad_number"),
        ("POST", "/api/groups", {"session_id": "hers", "subject": "x", "members": PEOPLE}, 404, "session_not_found"),
        ("POST", f"/api/groups/{GROUP}/members", {"session_id": "shop"}, 400, "no_members"),
        ("POST", f"/api/groups/{GROUP}/members", {"session_id": "shop", "ban": PEOPLE}, 400, "unknown_field"),
        ("POST", "/api/groups/me/leave", {"session_id": "shop"}, 400, "bad_group"),
        ("POST", "/api/contacts/check", {"session_id": "shop", "numbers": []}, 400, "bad_field"),
        ("POST", "/api/contacts/check", {"session_id": "shop", "numbers": PEOPLE * 51}, 400, "bad_field"),
        ("POST", "/api/contacts/check", {"session_id": "shop", "numbers": [*PEOPLE, "x"]}, 400, "bad_number"),
        ("POST", "/api/contacts/check", {"session_id": "hers", "numbers": PEOPLE}, 404, "session_not_found"),
        ("GET", f"/api/contacts/{GROUP}?session_id=shop", None, 400, "bad_number"),
    ],
)
def test_a_wrong_request_is_refused_by_name_and_nothing_written(
    shop: Shop, method: str, path: str, body: Any, status: int, code: str
) -> None:
    shop.world.add_session("hers", tenant="bert")
    before = shop.world.store.commits
    answer = shop.world.client.open(path, method=method, json=body, headers=shop.world.anna)
    assert (answer.status_code, error_code(answer)) == (status, code)
    assert shop.world.store.commits == before


def test_the_description_names_every_reason_why_a_member_is_refused(shop: Shop) -> None:
    said = openapi.document(shop.world.process.app)["components"]["schemas"]["MemberRefusal"]
    named = set(re.findall("`(.+?)`", said["properties"]["code"]["description"]))
    assert named == {*group_views.REFUSALS, "wa_…"}


def test_a_bad_key_for_repeats_is_refused(shop: Shop) -> None:
    headers = shop.world.anna | {"Idempotency-Key": "x" * 256}
    answer = shop.world.client.post(f"/api/groups/{GROUP}/leave", json={"session_id": "shop"}, headers=headers)
    assert (answer.status_code, error_code(answer)) == (400, "bad_idempotency_key")


def test_too_many_changes_are_refused_and_nobody_is_asked(shop: Shop) -> None:
    shop.world.set_limit("anna", "groups", count=1, period_s=60, burst=1)
    shop.whatsapp.add_group(OWN, "Walks", [BEA])
    body = {"session_id": "shop", "subject": "Runs"}
    assert shop.ask("PATCH", f"/api/groups/{GROUP}", body).status_code == 200
    answer = shop.ask("PATCH", f"/api/groups/{GROUP}", body)
    assert (answer.status_code, error_code(answer)) == (429, "rate_limited")
    assert shop.world.all_in(commands.COMMANDS) == []
