"""WhatsApp is away for a while, and comes back: how soon is everybody, and how many knock at once?"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from tests.chaos.ground import Ground

BACK_LIMIT_S = 120.0


@dataclass(frozen=True)
class OutageFigures:
    """`back_s`: for each device from the end of the outage to its login. Attempts are those of all devices together."""

    devices: int
    back_s: list[float]
    away: int
    attempts_per_s_worst: int
    attempts_per_s_mean: float

    def __str__(self) -> str:
        worst = f"{max(self.back_s):.1f} s" if self.back_s else "never"
        return (
            f"{len(self.back_s)} of {self.devices} devices back, the last after {worst};"
            f" {self.attempts_per_s_mean:.1f} attempts a second, {self.attempts_per_s_worst} in the worst one"
        )


def outage(ground: Ground, seconds: float) -> OutageFigures:
    """Refuse every connection for so long; wait until all devices are back."""
    devices = ground.devices()
    began = time.time()
    ground.whatsapp.add_fault("outage", None, {"for_s": seconds})
    time.sleep(seconds)
    ended = time.time()

    def back() -> list[float]:
        found = [ground.truth.came_at(device.phone, device.number, began) for device in devices]
        return [max(0.0, at - ended) for at in found if at is not None]

    ground.wait(lambda: len(back()) == len(devices), BACK_LIMIT_S)
    attempts = [at for at in ground.truth.attempts if at >= began]
    by_second = Counter(int(at - began) for at in attempts)
    length = max(by_second, default=0) + 1
    found = back()
    return OutageFigures(
        len(devices), found, len(devices) - len(found), max(by_second.values(), default=0), len(attempts) / length
    )
