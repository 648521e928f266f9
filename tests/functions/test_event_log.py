"""The log of events: what triggers and rounds put there, who reads it, and that telling it twice makes one event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.events.cloud.firestore import Document, Value

from keepline.domain.events import EventKind
from keepline.records import monitoring
from keepline.records.monitoring import EVENTS_KEPT, MONITORING

from .framework import DOCUMENTS, FIRESTORE_TYPE, account_document, deliver, serve, written
from .support import NOON, World, error_code

PROTOBUF = "application/protobuf"
CONNECTED = account_document("connected", "connected")


def row(state: str, code: str | None = None) -> Document:
    """An outgoing message's document as Firestore sends it."""
    fields = {"tenant": "anna", "session_id": "shop", "account": "anna_shop", "state": state}
    values = {name: Value(string_value=text) for name, text in fields.items()}
    values["error_code"] = Value(string_value=code) if code is not None else Value(null_value=0)
    return Document(name=f"{DOCUMENTS}/outbox/m_x", fields=values, update_time="2026-03-01T12:00:00.250Z")


@pytest.fixture
def tell(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    def tell(function: str, body: bytes, event_id: str = "e1") -> None:
        assert deliver(serve(function, world, monkeypatch), FIRESTORE_TYPE, event_id, body, PROTOBUF) == 200

    return tell


def kinds(world: World) -> list[str]:
    return sorted(event.fields["kind"] for event in world.all_in(MONITORING))


@pytest.mark.parametrize(
    ("before", "now", "kinds_told"),
    [
        (("queued", None), ("in_doubt", None), ["doubt"]),
        (("queued", None), ("failed", "wa_503"), ["dead_letter"]),
        (("queued", None), ("failed", "wa_463"), ["dead_letter", "rate_signal"]),
        (("queued", None), ("queued", "wa_429"), ["rate_signal"]),
        (("queued", None), ("sent", None), []),
        (("failed", "wa_503"), ("failed", "wa_503"), []),
    ],
)
def test_what_a_message_comes_to_is_on_record_once(
    world: World, tell: Any, before: tuple[str, str | None], now: tuple[str, str | None], kinds_told: list[str]
) -> None:
    for _ in range(3):
        tell("on_outbox_written", written(row(*now), row(*before)))
    assert kinds(world) == kinds_told


def test_a_lost_connection_and_a_new_one_are_on_record(world: World, tell: Any) -> None:
    broken = account_document("reconnecting", "socket_closed")
    for _ in range(2):
        tell("on_account_written", written(broken, CONNECTED))
    assert kinds(world) == ["session_disconnected", "session_state"]
    tell("on_account_written", written(CONNECTED, broken), "e2")
    assert "session_reconnected" in kinds(world)


def test_an_event_says_what_to_do_and_when_it_goes(world: World) -> None:
    write = monitoring.event(
        EventKind.RECOVERY_STARTED, "n", at=NOON, subject="api", details={"name": "api", "reason": "down"}
    )
    world.commit(write)
    world.commit(write)
    [event] = world.all_in(MONITORING)
    fields = dict(event.fields)
    assert fields.pop("recorded_at") is not None
    assert fields == {
        "kind": "recovery_started",
        "at": NOON,
        "severity": "info",
        "tenant": None,
        "subject": "api",
        "account": None,
        "session_id": None,
        "code": "recovery_started",
        "sentence": "The recovery of api has begun: it is down.",
        "next_step": "Nothing to do.",
        "details": {"name": "api", "reason": "down"},
        "expire_at": NOON + EVENTS_KEPT,
    }


def happen(world: World, number: int, tenant: str | None = "anna", session: str | None = "shop") -> None:
    world.commit(
        monitoring.event(
            EventKind.DOUBT if tenant else EventKind.RUN_MISSED,
            f"{tenant} {session} {number}",
            at=NOON + timedelta(minutes=number),
            subject=f"{tenant}_{session}",
            tenant=tenant,
            account=f"{tenant}_{session}" if tenant else None,
            session_id=session if tenant else None,
            details={"message_id": f"m_{number}"},
        )
    )


def listed(world: World, query: str = "", headers: dict[str, str] | None = None) -> list[str]:
    events = world.get(f"/api/monitoring{query}", headers).get_json()["events"]
    return [event["at"][14:16] for event in events]


@pytest.fixture
def log(world: World) -> World:
    world.add_session("shop", state="connected", code="connected")
    world.add_session("till", state="connected", code="connected")
    for number, (tenant, session) in enumerate(
        [("anna", "shop"), ("anna", "till"), ("bert", "shop"), (None, None), ("anna", "shop")]
    ):
        happen(world, number, tenant, session)
    return world


def test_a_user_reads_own_events_and_an_operator_everybodys(log: World) -> None:
    assert listed(log) == ["04", "01", "00"]
    assert listed(log, headers=log.bert) == ["02"]
    answer = log.get("/api/monitoring?all=true")
    assert (answer.status_code, error_code(answer)) == (403, "missing_scope")
    operator = log.add_key("olga", ("read", "operator"))
    assert listed(log, "?all=true", operator) == ["04", "03", "02", "01", "00"]
    assert listed(log, headers=operator) == []


def test_events_are_sifted_and_come_in_pages(log: World) -> None:
    assert listed(log, "?session_id=till") == ["01"]
    assert listed(log, "?kind=doubt&since=2026-03-01T12:01:00Z") == ["04", "01"]
    assert listed(log, "?kind=rate_signal") == []
    page = log.get("/api/monitoring?limit=2").get_json()
    assert [event["at"][14:16] for event in page["events"]] == ["04", "01"]
    rest = log.get(f"/api/monitoring?limit=2&before={page['next_before']}").get_json()
    assert [event["at"][14:16] for event in rest["events"]] == ["00"]
    assert rest["next_before"] is None


def test_a_key_for_one_session_reads_its_events(log: World) -> None:
    till = log.add_key("anna", ("read",), ("till",))
    assert listed(log, headers=till) == ["01"]
    assert error_code(log.get("/api/monitoring?session_id=shop", till)) == "session_not_allowed"


def test_what_cannot_be_asked_for_is_refused(log: World) -> None:
    assert error_code(log.get("/api/monitoring?session_id=none")) == "session_not_found"
    assert error_code(log.get("/api/monitoring?all=true&session_id=shop")) == "bad_field"
    assert error_code(log.get("/api/monitoring?kind=nonsense")) == "bad_field"
