"""The pairing code: eight characters to type into the phone, asked of WhatsApp by the device's connector."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keepline.domain.pairing import CodeAnswer
from keepline.records import accounts
from keepline.records.accounts import Pairing
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases import pairing_codes
from keepline.usecases.pairing import PairingDesk

from .support import World, error_code

PHONE = "14155550100"
OTHER_PHONE = "14155550101"
CODE = "1A2B-3C4D"
GOOD = CodeAnswer(CODE, 140.0)
ACCOUNT = "anna_shop"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_codes, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(pairing_codes, "CODE_WAIT_S", 0.5)


@pytest.fixture
def pairing(world: World) -> World:
    account = world.add_session(state="pairing", code="waiting_for_scan")
    world.beat(account, evidence_age_ms=None)
    world.offer_qr(account, "2@qr")
    return world


class Library(FakeLink):
    """A device in a cell, as far as codes go."""

    def __init__(self, answer: Callable[[str], CodeAnswer]) -> None:
        self.asked: list[str] = []
        self._answer = answer

    async def pair_code(self, phone: str) -> CodeAnswer:
        self.asked.append(phone)
        return self._answer(phone)


@contextmanager
def connector(world: World, *answers: CodeAnswer, slot: str = "a") -> Iterator[Library]:
    """The device's connector, which has it running: these are WhatsApp's answers, one after the other."""
    left = list(answers)
    library = Library(lambda _: left.pop(0))

    async def start() -> list[asyncio.Task[None]]:
        desk = PairingDesk(world.store, library, ACCOUNT, slot, "anna")
        desk.offer("2@qr")

        async def look() -> None:
            async with world.store.watch(accounts.pairings_of((ACCOUNT,))) as watch:
                async for documents in watch:
                    for pairing in map(Pairing.read, documents):
                        if pairing.slot == slot:
                            seen.set()
                            desk.look_for_code_request(pairing)

        seen = asyncio.Event()
        tasks = [asyncio.create_task(one) for one in (desk.keep_shown(), desk.give_codes(), look())]
        await seen.wait()
        return tasks

    async def stop(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)

    tasks = world.run(start())
    try:
        yield library
    finally:
        world.run(stop(tasks))


def ask(world: World, phone: str = PHONE, **more: Any) -> Any:
    return world.client.post("/api/sessions/shop/pairing-code", json={"phone": phone} | more, headers=world.anna)


def not_ready(answer: Any) -> None:
    assert (answer.status_code, error_code(answer)) == (409, "pairing_code_not_ready")
    assert answer.headers["Retry-After"] in ("2", "5")


def requested(world: World, slot: str = "a") -> Any:
    return world.fields(accounts.pairing_path(ACCOUNT, slot))["code_requested"]


@pytest.mark.parametrize("phone", [PHONE, f"+{PHONE}", "+1 (415) 555-0100"])
def test_a_code_is_asked_for_and_comes_with_how_long_it_holds(pairing: World, phone: str) -> None:
    with connector(pairing, GOOD) as library:
        answer = ask(pairing, phone)
    assert answer.status_code == 200
    assert answer.get_json() == {"code": CODE, "phone": PHONE, "slot": "a", "expires_in_s": pytest.approx(140, abs=0.1)}
    assert answer.headers["Cache-Control"] == "no-store"
    assert library.asked == [PHONE]


def test_asking_again_gives_the_same_code_while_it_is_good(pairing: World) -> None:
    with connector(pairing, GOOD, CodeAnswer("5E6F-7G8H", 140.0)) as library:
        ask(pairing)
        pairing.clock.advance(100)
        pairing.beat(ACCOUNT, evidence_age_ms=None, n=2)
        again = ask(pairing).get_json()
        assert (again["code"], again["expires_in_s"]) == (CODE, pytest.approx(40, abs=0.1))
        pairing.clock.advance(30)  # Ten seconds are too few to type it in.
        pairing.beat(ACCOUNT, evidence_age_ms=None, n=3)
        assert ask(pairing).get_json()["code"] == "5E6F-7G8H"
    assert library.asked == [PHONE, PHONE]


def test_a_code_for_another_number_is_another_code(pairing: World) -> None:
    with connector(pairing, GOOD, CodeAnswer("5E6F-7G8H", 140.0)) as library:
        ask(pairing)
        not_ready(ask(pairing, OTHER_PHONE))  # Not so soon: two at once would make both worthless.
        pairing.clock.advance(11)
        pairing.beat(ACCOUNT, evidence_age_ms=None, n=2)
        answer = ask(pairing, OTHER_PHONE).get_json()
    assert (answer["code"], answer["phone"]) == ("5E6F-7G8H", OTHER_PHONE)
    assert library.asked == [PHONE, OTHER_PHONE]


def test_a_connector_that_does_not_answer_in_time_is_asked_once(pairing: World) -> None:
    for _ in range(3):
        not_ready(ask(pairing))
    assert requested(pairing) == 1
    pairing.clock.advance(11)
    pairing.beat(ACCOUNT, evidence_age_ms=None, n=2)
    not_ready(ask(pairing))
    assert requested(pairing) == 2


def test_a_late_answer_is_there_for_whoever_asks_again(pairing: World) -> None:
    not_ready(ask(pairing))
    document = Pairing.read(pairing.document(accounts.pairing_path(ACCOUNT, "a")))  # type: ignore[arg-type]
    pairing.commit(accounts.answer_code(ACCOUNT, "a", accounts.AnsweredCode(document.code_requested, GOOD)))
    assert ask(pairing).get_json()["code"] == CODE


def test_a_code_whose_connection_is_gone_is_not_shown(pairing: World) -> None:
    with connector(pairing, GOOD, CodeAnswer("5E6F-7G8H", 140.0)):
        ask(pairing)
        pairing.commit(accounts.answer_code(ACCOUNT, "a", None))
        pairing.clock.advance(11)
        pairing.beat(ACCOUNT, evidence_age_ms=None, n=2)
        assert ask(pairing).get_json()["code"] == "5E6F-7G8H"


def test_after_the_qr_codes_ran_out_a_code_can_be_asked_for(world: World) -> None:
    world.add_session(state="stopped", code="pairing_timed_out")
    world.beat(ACCOUNT, evidence_age_ms=None)
    with connector(world, GOOD):
        assert ask(world).get_json()["code"] == CODE


def test_what_whatsapp_refuses_is_said_and_not_repeated_at_once(pairing: World) -> None:
    with connector(pairing, CodeAnswer(error_code="number_refused"), GOOD) as library:
        for _ in range(2):
            answer = ask(pairing)
            assert (answer.status_code, error_code(answer)) == (409, "number_refused")
        assert library.asked == [PHONE]
        pairing.clock.advance(11)
        pairing.beat(ACCOUNT, evidence_age_ms=None, n=2)
        assert ask(pairing).get_json()["code"] == CODE


def test_a_rate_limit_of_whatsapps_is_left_alone_for_a_minute_whatever_the_number(pairing: World) -> None:
    with connector(pairing, CodeAnswer(error_code="rate_limited"), GOOD) as library:
        answer = ask(pairing)
        assert (answer.status_code, error_code(answer)) == (429, "pairing_rate_limited")
        pairing.clock.advance(50)
        pairing.beat(ACCOUNT, evidence_age_ms=None, n=2)
        answer = ask(pairing, OTHER_PHONE)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
        assert library.asked == [PHONE]
        pairing.clock.advance(11)
        pairing.beat(ACCOUNT, evidence_age_ms=None, n=3)
        assert ask(pairing).get_json()["code"] == CODE


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [("unreachable", 409, "pairing_code_not_ready"), ("already_linked", 409, "already_linked")],
)
def test_other_answers(pairing: World, error: str, status: int, code: str) -> None:
    with connector(pairing, CodeAnswer(error_code=error)):
        answer = ask(pairing)
    assert (answer.status_code, error_code(answer)) == (status, code)


@pytest.mark.parametrize(
    ("state", "code", "phone", "expected"),
    [
        ("connected", "connected", PHONE, "already_linked"),
        ("degraded", "no_answer", PHONE, "already_linked"),
        ("starting", "logging_in", None, "already_linked"),
        ("reconnecting", "socket_closed", PHONE, "already_linked"),
        ("banned", "banned", PHONE, "pairing_code_not_available"),
        ("logged_out", "logged_out", PHONE, "pairing_code_not_available"),
        ("failed", "failed", None, "pairing_code_not_available"),
    ],
)
def test_a_device_that_is_linked_or_cannot_be_gets_no_code(
    world: World, state: str, code: str, phone: str | None, expected: str
) -> None:
    world.add_session(state=state, code=code, phone=phone)
    world.beat(ACCOUNT)
    world.offer_qr(ACCOUNT, None)
    answer = ask(world)
    assert (answer.status_code, error_code(answer)) == (409, expected)
    assert requested(world) == 0


def test_before_a_connector_offers_codes_it_says_what_is_waited_for(world: World) -> None:
    world.add_session(code="waiting_for_connector", connector="")
    answer = ask(world)
    not_ready(answer)
    assert "No connector has taken this session yet." in answer.get_json()["error"]["message"]


def test_a_silent_connector_is_not_asked(pairing: World) -> None:
    pairing.clock.advance(30)
    answer = ask(pairing)
    not_ready(answer)
    assert "gone silent" in answer.get_json()["error"]["message"]
    assert requested(pairing) == 0


@pytest.mark.parametrize(
    "phone", ["", "12", "0415555010", "+0014155550100", "1" * 16, "call me", f"{PHONE}@lid", "٤٥٦٧٨٩١"]
)
def test_what_is_no_number_is_refused(pairing: World, phone: str) -> None:
    answer = ask(pairing, phone)
    assert (answer.status_code, error_code(answer)) == (400, "bad_number")
    assert requested(pairing) == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [({}, "missing_field"), ({"phone": 14155550100}, "bad_field"), ({"phone": PHONE, "slot": "c"}, "bad_field")],
)
def test_a_body_that_is_not_right_is_refused(pairing: World, body: dict[str, Any], code: str) -> None:
    answer = pairing.client.post("/api/sessions/shop/pairing-code", json=body, headers=pairing.anna)
    assert (answer.status_code, error_code(answer)) == (400, code)


def test_anothers_session_is_not_found(pairing: World) -> None:
    answer = pairing.client.post("/api/sessions/shop/pairing-code", json={"phone": PHONE}, headers=pairing.bert)
    assert (answer.status_code, error_code(answer)) == (404, "session_not_found")
    assert requested(pairing) == 0


@pytest.fixture
def with_standby(world: World) -> World:
    world.add_session(state="connected", code="connected", phone=PHONE)
    world.beat(ACCOUNT)
    world.add_standby(ACCOUNT, "pairing", "waiting_for_scan", linked=False)
    world.beat(ACCOUNT, connector="c2", slot="b", evidence_age_ms=None)
    return world


def test_the_standby_has_codes_of_its_own(with_standby: World) -> None:
    with connector(with_standby, GOOD, slot="b"):
        answer = ask(with_standby, slot="b")
    assert (answer.get_json()["code"], answer.get_json()["slot"]) == (CODE, "b")
    assert with_standby.document(accounts.pairing_path(ACCOUNT, "a")) is None
    assert error_code(ask(with_standby)) == "already_linked"


def test_the_standby_is_linked_with_the_sessions_own_number_only(with_standby: World) -> None:
    with connector(with_standby, GOOD, slot="b") as library:
        answer = ask(with_standby, OTHER_PHONE, slot="b")
    assert (answer.status_code, error_code(answer)) == (409, "another_number")
    assert library.asked == []


def test_nobody_logs_a_code(pairing: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with connector(pairing, GOOD):
        assert ask(pairing).status_code == 200
    document = Pairing.read(pairing.document(accounts.pairing_path(ACCOUNT, "a")))  # type: ignore[arg-type]
    assert document.code is not None
    assert CODE not in caplog.text + repr(document) + repr(GOOD)
