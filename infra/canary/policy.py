"""What a new image of the connector must show before the next connector gets it. Pure: what was seen and when comes in.

A connector is proven when, for a minute on end,
- a new process under its name beats, and its lease stands;
- it holds a device that WhatsApp has answered lately, if the installation has any session: a process that beats and cannot log
  in is no connector;
- no more than 2 % of the sessions that were connected before are not connected now. A session that was deleted does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# How long everything must be well: several beats, checks of each connection, and the moment after a login when WhatsApp refuses.
PROVEN_S = 60.0
# How long it may take until then: a start, the restoring of its devices, and their move to it two at a time (balancing.py).
LIMIT_S = 600.0
# A lease that stood still for so long is not held: the slowest profile's TTL, and a look's delay.
BEAT_AGE_MAX_S = 20.0
# Numbers come and go for reasons of their own; of fewer than 50 none may.
LOST_SHARE_MAX = 0.02


@dataclass(frozen=True)
class Beat:
    """A connector's heartbeat, as it stands in Firestore. `proven`: its devices that WhatsApp has answered within 20 s."""

    process: str
    number: int
    over: bool
    proven: int


@dataclass(frozen=True)
class Seen:
    """The installation at a moment."""

    beats: Mapping[str, Beat]  # by connector
    connected: frozenset[str]  # accounts
    outdated: frozenset[str]  # accounts that WhatsApp refuses because of the library's age
    there: frozenset[str]  # accounts that somebody wants
    sending: Mapping[str, int]  # for how many accounts each connector sends


@dataclass(frozen=True)
class Verdict:
    """`proven`, or that it never will be: `failed`; neither: not yet. `why` says what is missing, for people."""

    proven: bool
    failed: bool
    why: str


def order(connectors: Iterable[str], seen: Seen) -> list[str]:
    """The standby's connector first: the one that sends for the fewest accounts loses least if the image is bad."""
    return sorted(connectors, key=lambda connector: (seen.sending.get(connector, 0), connector))


class Trial:
    """One connector with a new image. `before` is what was seen when it was given it, at `began_s` (monotonic)."""

    def __init__(self, connector: str, before: Seen, began_s: float) -> None:
        self._connector = connector
        self._before = before
        self._began_s = began_s
        self._beat: tuple[Beat | None, float] = (None, began_s)  # the newest one, and since when it stands still
        self._well_since_s: float | None = None

    def judge(self, seen: Seen, now_s: float) -> Verdict:
        """What is known after this look."""
        beat = seen.beats.get(self._connector)
        if beat is not None and (self._beat[0] is None or beat.number != self._beat[0].number):
            self._beat = (beat, now_s)
        refused = seen.outdated - self._before.outdated
        if refused:
            return Verdict(False, True, f"WhatsApp refuses this build as outdated for {len(refused)} sessions")
        why = self._missing(beat, seen, now_s)
        if why:
            self._well_since_s = None
            return Verdict(False, now_s - self._began_s > LIMIT_S, why)
        if self._well_since_s is None:
            self._well_since_s = now_s
        well_s = now_s - self._well_since_s
        return Verdict(well_s >= PROVEN_S, False, f"well for {well_s:.0f} s of {PROVEN_S:.0f}")

    def _missing(self, beat: Beat | None, seen: Seen, now_s: float) -> str:
        old = self._before.beats.get(self._connector)
        if beat is None or (old is not None and beat.process == old.process):
            return "no new process beats yet"
        if beat.over or now_s - self._beat[1] > BEAT_AGE_MAX_S:
            return "its lease does not stand"
        if self._before.connected and not beat.proven:
            return "it holds no device that WhatsApp has answered"
        wanted = self._before.connected & seen.there
        lost = wanted - seen.connected
        if len(lost) > int(len(wanted) * LOST_SHARE_MAX):
            return f"{len(lost)} of {len(wanted)} sessions that were connected are not"
        return ""
