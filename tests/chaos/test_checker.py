"""The checker sees what it is there for: each fault is planted once, and a sound history has none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker import Said, Sent, broken, check

SENT = [Sent(f"m_{n}", "chat", n, f"text {n}") for n in (1, 2, 3)]
OTHER = Sent("m_9", "other chat", 1, "text 9")
SAID = [Said("wa_1", "session", "chat", "hello")]
SOUND: dict[str, Any] = {
    "sent": [*SENT, OTHER],
    "shown": {"chat": ["text 1", "text 2", "text 3"], "other chat": ["text 9"]},
    "states": {"m_1": "delivered", "m_2": "read", "m_3": "delivered", "m_9": "delivered"},
    "read": ["text 2"],
    "said": SAID,
    "recorded": {"session": ["wa_1"]},
}


def states(**changed: str) -> Any:
    return SOUND["states"] | changed


def test_a_sound_history_breaks_nothing() -> None:
    verdict = check(**SOUND)
    assert (verdict.accepted, verdict.shown, verdict.said, verdict.recorded) == (4, 4, 1, 1)
    assert broken("single", verdict, doubts=0) == broken("standby", verdict, doubts=0) == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"shown": {"chat": ["text 1", "text 3"], "other chat": ["text 9"]}}, "1 accepted messages were never shown"),
        ({"shown": SOUND["shown"] | {"chat": ["text 2", "text 1", "text 3"]}}, "1 messages were shown out of order"),
        ({"shown": SOUND["shown"] | {"chat": ["text 3", "text 1", "text 2"]}}, "2 messages were shown out of order"),
        ({"shown": SOUND["shown"] | {"chat": [*SOUND["shown"]["chat"], "what?"]}}, "1 messages were shown that nobody"),
        ({"shown": {"chat": SOUND["shown"]["chat"], "other chat": []}}, "1 accepted messages were never shown"),
        ({"states": states(m_1="queued")}, "1 messages were shown, but for the API they were not even sent"),
        ({"states": states(m_1="failed")}, "1 messages were shown, but for the API they were not even sent"),
        ({"recorded": {"session": ["wa_1", "wa_1"]}}, "1 incoming messages are recorded twice"),
    ],
)
def test_no_phase_bears_this(planted: dict[str, Any], found: str) -> None:
    verdict = check(**SOUND | planted)
    for phase in ("single", "standby"):
        assert any(sentence.startswith(found) for sentence in broken(phase, verdict, doubts=0)), verdict


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"states": states(m_1="sent")}, "1 messages lack a receipt"),
        ({"states": states(m_2="delivered")}, "1 messages lack a receipt"),
        ({"recorded": {"session": []}}, "1 incoming messages are not recorded"),
        ({"recorded": {}}, "1 incoming messages are not recorded"),
    ],
)
def test_a_standby_covers_what_one_device_may_miss(planted: dict[str, Any], found: str) -> None:
    verdict = check(**SOUND | planted)
    assert broken("single", verdict, doubts=0) == []
    assert [sentence for sentence in broken("standby", verdict, doubts=0) if sentence.startswith(found)]


def test_with_one_device_a_second_copy_needs_a_doubt_that_was_shown() -> None:
    verdict = check(**SOUND | {"shown": SOUND["shown"] | {"chat": ["text 1", "text 2", "text 1", "text 3"]}})
    assert [one.text for one in verdict.twice] == ["text 1"]
    assert not verdict.out_of_order, "the copy of an earlier message is counted once"
    assert broken("single", verdict, doubts=1) == []
    assert broken("single", verdict, doubts=0) == ["1 messages were shown twice, but only 0 were ever in doubt"]
    assert broken("standby", verdict, doubts=1) == ["1 messages were shown twice"]
