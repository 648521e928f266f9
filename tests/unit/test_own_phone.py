"""The account's own phone is seen by what it writes and reads, and by nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from keepline_connector.cell.own_phone import OwnPhone

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def source(*, from_me: bool = True, device: int = 0) -> SimpleNamespace:
    return SimpleNamespace(IsFromMe=from_me, Sender=SimpleNamespace(Device=device))


def message(at: datetime = NOON, **of: Any) -> SimpleNamespace:
    return SimpleNamespace(Info=SimpleNamespace(MessageSource=source(**of), Timestamp=int(at.timestamp() * 1000)))


def receipt(at: datetime = NOON, **of: Any) -> SimpleNamespace:
    return SimpleNamespace(MessageSource=source(**of), Timestamp=int(at.timestamp()))


@pytest.mark.parametrize("event", [message(), receipt()])
def test_what_the_phone_writes_or_reads_shows_it(event: Any) -> None:
    seen = OwnPhone().look(event)
    assert seen is not None
    assert seen.at == NOON


@pytest.mark.parametrize(
    "event",
    [
        message(device=12),
        message(from_me=False),
        receipt(device=3),
        receipt(from_me=False),
        SimpleNamespace(Message="of another kind"),
    ],
)
def test_what_others_or_other_devices_do_does_not(event: Any) -> None:
    assert OwnPhone().look(event) is None


def test_it_is_told_once_an_hour() -> None:
    phone = OwnPhone()
    times = (0, 10, 59, 60, 70)
    told = [minutes for minutes in times if phone.look(message(NOON + timedelta(minutes=minutes)))]
    assert told == [0, 60]


def test_what_waited_for_us_tells_when_it_happened() -> None:
    phone = OwnPhone()
    assert phone.look(message(NOON)) is not None
    assert phone.look(message(NOON - timedelta(days=2))) is None, "older than what is known"
