"""What the soak does to a running system, all at once: the faults of the catalogue, bans, and a slow or absent Firestore."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from simulator.errors import SimulatorError
from tests.chaos.catalogue import FAULTS, Struck
from tests.chaos.ground import Ground

# Nobody waits for the end of one before the next.
PAUSE_S = 12.0
# What stands in WhatsApp's way of answering is taken back after a while.
MENDED_AFTER_S = 8.0
FIRESTORE_AWAY_S = (0.2, 2.0)
FIRESTORE_SLOW_S = 8.0
# While it is slow it stands still for this much of each tenth of a second.
SLOW_STILL_S, SLOW_TURN_S = 0.06, 0.1
WHATSAPP_SLOW_S, WHATSAPP_DELAY_S = 8.0, 0.4
BAN_S = 10.0
# WhatsApp's code for the same message too often: nothing stays closed when the ban is over.
BAN_CODE = 104

Blow = Callable[[Ground, str], None]


def firestore_away(ground: Ground, account: str) -> None:
    """Every request waits, as when Firestore cannot be reached for a moment."""
    with _still(ground.stack.run.pids["firestore"]):
        time.sleep(ground.random.uniform(*FIRESTORE_AWAY_S))


def firestore_slow(ground: Ground, account: str) -> None:
    pid = ground.stack.run.pids["firestore"]
    until_s = time.monotonic() + FIRESTORE_SLOW_S
    while time.monotonic() < until_s:
        with _still(pid):
            time.sleep(SLOW_STILL_S)
        time.sleep(SLOW_TURN_S - SLOW_STILL_S)


def whatsapp_slow(ground: Ground, account: str) -> None:
    ground.whatsapp.add_fault(
        "slow", None, {"for_s": WHATSAPP_SLOW_S}, delay_s=WHATSAPP_DELAY_S, jitter_s=WHATSAPP_DELAY_S / 2
    )


def ban(ground: Ground, account: str) -> None:
    """Of an account that nothing is sent for: it has to be back by itself when the ban is over."""
    idle = [name for name in ground.phones if name not in ground.loaded]
    phone = ground.phones[ground.random.choice(idle)]
    ground.whatsapp.add_fault(
        "login_failure", {"number": phone}, {"for_s": BAN_S}, code=402, ban_code=BAN_CODE, expire_s=int(BAN_S)
    )
    ground.whatsapp.drop_connections(phone)


@contextlib.contextmanager
def _still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _of_catalogue(strike: Callable[[Ground, str], Struck]) -> Blow:
    def blow(ground: Ground, account: str) -> None:
        struck = strike(ground, account)

        def mend() -> None:
            struck.mend()
            struck.tidy()

        later = threading.Timer(MENDED_AFTER_S, mend)
        later.daemon = True
        later.start()

    return blow


BLOWS: dict[str, Blow] = {
    **{fault.name: _of_catalogue(fault.strike) for fault in FAULTS if fault.name != "nothing"},
    "firestore_away": firestore_away,
    "firestore_slow": firestore_slow,
    "whatsapp_slow": whatsapp_slow,
    "ban": ban,
}


def rain(ground: Ground, seconds: float, say: Callable[[str], None]) -> Counter[str]:
    """Blows at random moments for so long, whatever state the system is in. How often each met something."""
    random: Random = ground.random
    struck: Counter[str] = Counter()
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(left_s, random.expovariate(1 / PAUSE_S)))
        name, account = random.choice(list(BLOWS)), random.choice(ground.loaded)
        try:
            BLOWS[name](ground, account)
        except (ValueError, KeyError, ProcessLookupError, SimulatorError) as nothing:
            say(f"{name}: nothing to strike ({nothing})")  # it is down already
        else:
            struck[name] += 1
            say(f"{name} for {account}")
    return struck
