"""Which addresses a channel of alerts may have, and when nobody wants to hear."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keepline.domain.alert_channels import check_channel_url, shown
from keepline.domain.errors import InvalidInput
from keepline.domain.quiet_hours import QuietHours


@pytest.mark.parametrize(
    "url",
    [
        "mailtos://name:word@example.com?to=me@example.com",
        "mailto://name:word@example.com:2525?smtp=mail.example.com&from=a@example.com",
        "slack://TokenA/TokenB/TokenC/#channel".replace("#", "%23"),
        "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "twilio://SID:token@15551234567/15557654321",
        "jsons://receiver.example/path",
        "ntfys://ntfy.example/topic",
    ],
)
def test_an_address_of_a_known_way_is_taken(url: str) -> None:
    assert check_channel_url(url, private_allowed=False) == url


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "syslog://localhost",
            "rsyslog://10.0.0.1",
            "dbus://",
            "exec://rm",
            "apprises://x.example",
        ),
        *("whatsapp://token@1/2", "windows://", "macosx://", "signal://x", "hassio://home", "mqtt://x", "kodi://tv"),
        "json://127.0.0.1/x",
        "json://localhost/x",
        "json://169.254.169.254/computeMetadata",
        "json://metadata.google.internal/x",
        "json://[::1]/x",
        "json://[::ffff:10.0.0.1]/x",
        "mailto://u:p@10.0.0.1?from=a@b.example",
        "mailto://u:p@example.com?smtp=10.0.0.1",
        "mailto://u:p@example.com?SMTP=127.0.0.1",
        "mailto://u:p@example.com?pgpkey=/etc/passwd",
        "workflows://a.example/b/c?template=/etc/passwd",
        "slack://a/b/c?template=/etc/passwd",
        "jsons://a.example/x#fragment",
        "mailtos://a.example?to=x y",
        "mailtos://a.example?to=x\ny",
        "jsons://" + "a" * 1_024,
        *("", "://", "mailtos://", "mailtos:", "jsons://[x", "MAILTO://u:p@example.com"),
    ],
)
def test_no_other_address_is(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_channel_url(url, private_allowed=False)
    assert refused.value.code in ("bad_channel_url", "channel_url_not_allowed")
    assert "passwd" not in refused.value.message


def test_an_installation_can_allow_private_addresses_and_nothing_else_by_that() -> None:
    assert check_channel_url("mailto://u@127.0.0.1:2525?from=a@b.example", private_allowed=True)
    with pytest.raises(InvalidInput):
        check_channel_url("syslog://localhost", private_allowed=True)


def test_of_an_address_only_its_way_is_shown() -> None:
    assert shown("mailtos://name:word@example.com?to=me@example.com") == "mailtos://…"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "quiet"),
    [
        ("2026-01-10T19:59:59", False),
        ("2026-01-10T20:00:00", True),  # 22:00 in Bucharest, which is two hours ahead in winter
        ("2026-01-11T04:59:59", True),
        ("2026-01-11T05:00:00", False),
        ("2026-07-10T19:00:00", True),  # and three in summer
        ("2026-07-11T04:00:00", False),
    ],
)
def test_quiet_hours_go_by_the_clocks_of_their_place(now: str, quiet: bool) -> None:
    assert QuietHours.checked("22:00", "07:00", "Europe/Bucharest").is_quiet(at(now)) is quiet


def test_quiet_hours_within_a_day() -> None:
    hours = QuietHours.checked("12:00", "14:30", "UTC")
    times = ("11:59", "12:00", "14:29", "14:30")
    assert [hours.is_quiet(at(f"2026-01-10T{time}:00")) for time in times] == [False, True, True, False]


@pytest.mark.parametrize(
    "hours",
    [
        ("22:00", "22:00", "UTC"),
        ("24:00", "07:00", "UTC"),
        ("9:00", "10:00", "UTC"),
        ("22:00", "07:00", "Mars/Phobos"),
        ("22:00", "07:00", "../etc/passwd"),
        ("22:00", "07:00", ""),
    ],
)
def test_what_are_no_quiet_hours_is_refused(hours: tuple[str, str, str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        QuietHours.checked(*hours)
    assert refused.value.code == "bad_quiet_hours"
