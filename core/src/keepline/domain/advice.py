"""What a person who looks after a session can do for it, from what is known of it at this moment. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keepline.domain.link_quality import POOR_BELOW
from keepline.domain.queue_cap import NEAR_THE_CAP, QUEUED_MAX
from keepline.domain.reconnect import Breaker
from keepline.domain.session import Reason, SessionState, SessionStatus
from keepline.domain.standby import Standby

# A connected session sends within a second; what waits longer, and is not held back, is not going out.
QUEUE_STUCK_AFTER_S = 60.0


@dataclass(frozen=True)
class DeviceFacts:
    """`quality` is 0 to 100, None where it is not known."""

    slot: str
    breaker: Breaker
    failed_tries: int
    quality: int | None


@dataclass(frozen=True)
class Facts:
    """`oldest_queued_s` is None when nothing is due; `held` says why pacing holds back what waits.

    `used_up`: the names of the limits of which nothing is left at present.
    """

    status: SessionStatus
    devices: Sequence[DeviceFacts]
    standby: Standby
    queued: int
    oldest_queued_s: float | None
    held: Reason | None
    used_up: Sequence[str]


def advice(facts: Facts) -> list[Reason]:
    """What is worth a look, the most urgent first; nothing when all is well."""
    found: list[Reason] = []
    if facts.status.state is not SessionState.CONNECTED:
        found.append(facts.status.reason)
    found += [_breaker_open(device) for device in facts.devices if device.breaker is Breaker.OPEN]
    found += [_poor(device) for device in facts.devices if device.quality is not None and device.quality < POOR_BELOW]
    found += _of_queue(facts)
    found += [
        Reason(
            "limit_used_up",
            f"Nothing is left of the limit '{name}' at this moment.",
            "Send more slowly, or ask the operator for more.",
        )
        for name in facts.used_up
    ]
    if facts.status.state is SessionState.CONNECTED:
        found += _of_standby(facts.standby)
    return found


def _of_queue(facts: Facts) -> list[Reason]:
    found = []
    if facts.held is not None:
        found.append(facts.held)
    elif facts.status.state is SessionState.CONNECTED and (facts.oldest_queued_s or 0.0) > QUEUE_STUCK_AFTER_S:
        found.append(
            Reason(
                "queue_stuck",
                f"Messages have been due for {facts.oldest_queued_s:.0f} s, although the session is connected.",
                "Look at the newest messages' errors and the connector's log; then restart the connector.",
            )
        )
    if facts.queued >= NEAR_THE_CAP:
        found.append(
            Reason(
                "queue_fills",
                f"{facts.queued:,} of {QUEUED_MAX:,} places in the queue are taken.",
                "Send less until some have gone out.",
            )
        )
    return found


def _of_standby(standby: Standby) -> list[Reason]:
    match standby:
        case Standby.NONE | Standby.OFFERED:
            return [
                Reason(
                    "no_standby",
                    "There is one linked device: a lost connection or connector is a gap.",
                    "Link a standby with the same phone.",
                )
            ]
        case Standby.LINKING:
            return [Reason("standby_not_linked", "The standby waits to be linked.", "Scan its code, or remove it.")]
        case Standby.AWAY:
            return [Reason("standby_away", "The standby is linked and not connected.", "Look at its own reason.")]
        case Standby.READY:
            return []


def _breaker_open(device: DeviceFacts) -> Reason:
    return Reason(
        "breaker_open",
        f"Device {device.slot} could not connect {device.failed_tries} times in a row and is tried now and then only.",
        "Mend what its reason names, then ask for a try at once: POST /reconnect/{session_id}.",
    )


def _poor(device: DeviceFacts) -> Reason:
    return Reason(
        "poor_quality",
        f"The connection of device {device.slot} has a score of {device.quality} of 100.",
        "If it stays, look at the connector's network and proxy.",
    )
