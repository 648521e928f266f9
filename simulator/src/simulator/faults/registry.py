"""The faults that stand: added, begun, counted, ended. Whoever handles a connection or a stanza asks here whether it is hit."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Protocol

from simulator.errors import SimulatorError
from simulator.faults.model import Direction, Fault, Kind
from simulator.limits import FAULT_OWNERS_MAX, FAULT_STANZA_IDS_MAX, FAULTS_MAX
from simulator.log import TruthLog

# Number and device of whoever a connection belongs to; None before its login.
Owner = tuple[str, int | None] | None

# Kinds that strike a whole connection unless they are bound to a stanza.
CONNECTION_KINDS = frozenset(
    {Kind.RESET, Kind.OUTAGE, Kind.HALF_OPEN, Kind.SLOW, Kind.BANDWIDTH, Kind.STREAM_ERROR, Kind.STOP_ANSWERING}
)
# What kinds that are not bound to a stanza by their target are bound to by their nature.
_NATURE: dict[Kind, tuple[Direction | None, str | None]] = {
    **dict.fromkeys((Kind.DROP_ACK, Kind.NEVER_ACK, Kind.ACK_ERROR, Kind.BAN), (Direction.IN, "message")),
    Kind.CLOCK_SKEW: (Direction.OUT, None),
}
# Of the first, those that are over as soon as they struck, if they have no `for_s`.
_ONCE = frozenset({Kind.RESET, Kind.STREAM_ERROR})


class State(Enum):
    # Before `after_s`.
    WAITING = "waiting"
    # It may hit.
    ACTIVE = "active"
    # Its count is used up: no new hits, but a connection that it holds stays held.
    SPENT = "spent"
    # Its time is over; kept so that its hits can be read.
    OVER = "over"


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Held(Protocol):
    """A connection that a fault holds back, slows or limits until it is over."""

    def release(self, standing: Standing) -> None: ...


Schedule = Callable[[float, Callable[[], None]], Cancellable]


def _on_the_loop(delay_s: float, action: Callable[[], None]) -> Cancellable:
    return asyncio.get_running_loop().call_later(delay_s, action)


class Standing:
    """A fault that was added, with what became of it."""

    def __init__(self, fault_id: int, fault: Fault, seed: int) -> None:
        self.id = fault_id
        self.fault = fault
        self.state = State.WAITING
        self.hits = 0
        self.holds: set[Held] = set()
        self.timers: list[Cancellable] = []
        # Ids of messages that are never acknowledged (never_ack).
        self.sticky: OrderedDict[str, None] = OrderedDict()
        # Times of recent sends by number (ban).
        self.sends: dict[str, deque[float]] = {}
        self._seed = seed
        self._random: dict[Owner, random.Random] = {}

    def random(self, owner: Owner) -> random.Random:
        """One sequence per device, so that decisions about a device do not depend on what others do meanwhile."""
        if owner not in self._random and len(self._random) >= FAULT_OWNERS_MAX:
            owner = None
        if owner not in self._random:
            self._random[owner] = random.Random(f"{self._seed}/{self.id}/{owner}")
        return self._random[owner]

    def fits(self, owner: Owner, direction: Direction | None, stanza: str) -> bool:
        """`direction` None: a whole connection or a login is meant, which has none."""
        target = self.fault.target
        number, device = owner or (None, None)
        if target.number is not None and not target.owner_fits(number, device):
            return False
        bound_direction, bound_stanza = _NATURE.get(self.fault.kind, (target.direction, None))
        return (target.stanza or bound_stanza) in (None, stanza) and direction in (None, bound_direction or direction)

    def acts(self, owner: Owner) -> bool:
        """Whether it hits this time: what is left of its count, and its dice."""
        when = self.fault.when
        if self.state is not State.ACTIVE or (when.count is not None and self.hits >= when.count):
            return False
        return when.probability >= 1 or self.random(owner).random() < when.probability

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "state": self.state.value, "hits": self.hits, **self.fault.as_json()}


class Faults:
    """What is broken at the moment. The three tuples are empty when nothing is, and looking at them is all that costs."""

    def __init__(self, log: TruthLog, seed: int = 0, schedule: Schedule = _on_the_loop) -> None:
        self._log = log
        self._seed = seed
        self._schedule = schedule
        self._standing: dict[int, Standing] = {}
        self._next_id = 1
        # Active faults by the point where they are consulted: a new connection, a login, a stanza.
        self.connects: tuple[Standing, ...] = ()
        self.logins: tuple[Standing, ...] = ()
        self.stanzas: tuple[Standing, ...] = ()
        # Strikes the connections that are open when a fault begins; set by whoever has them.
        self.strike_open: Callable[[Standing], None] = lambda standing: None

    # For people

    def add(self, fault: Fault) -> int:
        """Lets a fault stand; it acts from now on or from its `after_s` on. Gives its id."""
        self._make_room()
        standing = Standing(self._next_id, fault, self._seed)
        self._next_id += 1
        self._standing[standing.id] = standing
        if fault.when.after_s:
            standing.timers.append(self._schedule(fault.when.after_s, lambda: self._begin(standing)))
        else:
            self._begin(standing)
        return standing.id

    def clear(self, fault_id: int | None = None) -> int:
        """Ends and forgets one fault or all; gives how many. What they held back flows again."""
        if fault_id is not None and fault_id not in self._standing:
            raise SimulatorError("no_such_fault", f"There is no fault {fault_id}.", "GET /faults lists them.", 404)
        chosen = list(self._standing) if fault_id is None else [fault_id]
        for one in chosen:
            self._end(self._standing[one])
            del self._standing[one]
        return len(chosen)

    def get(self, fault_id: int) -> dict[str, Any]:
        return self._standing[fault_id].as_json()

    def list(self) -> list[dict[str, Any]]:
        """Every fault with its id, state and count of hits, in the order they were added."""
        return [standing.as_json() for standing in self._standing.values()]

    def _make_room(self) -> None:
        if len(self._standing) < FAULTS_MAX:
            return
        over = next((one for one in self._standing.values() if one.state is State.OVER), None)
        if over is None:
            raise SimulatorError("too_many_faults", f"{FAULTS_MAX} faults stand already.", "Clear some first.", 409)
        del self._standing[over.id]

    # Life

    def _begin(self, standing: Standing) -> None:
        fault = standing.fault
        standing.state = State.ACTIVE
        self._log.add("fault_began", fault=standing.id, what=str(fault.kind))
        whole = fault.kind in CONNECTION_KINDS and fault.target.stanza is None
        lasts = fault.when.for_s
        if lasts is None and whole and fault.kind in _ONCE:
            lasts = 0.0
        if lasts != 0:
            self._enlist(standing)
        if lasts:
            standing.timers.append(self._schedule(lasts, lambda: self._end(standing)))
        if whole:
            self.strike_open(standing)
        if lasts == 0:
            self._end(standing)

    def _enlist(self, standing: Standing) -> None:
        where = points(standing.fault)
        for name in where:
            setattr(self, name, (*getattr(self, name), standing))

    def _delist(self, standing: Standing) -> None:
        self.connects = tuple(one for one in self.connects if one is not standing)
        self.logins = tuple(one for one in self.logins if one is not standing)
        self.stanzas = tuple(one for one in self.stanzas if one is not standing)

    def _end(self, standing: Standing) -> None:
        if standing.state is State.OVER:
            return
        standing.state = State.OVER
        self._delist(standing)
        for timer in standing.timers:
            timer.cancel()
        for held in list(standing.holds):
            held.release(standing)
        standing.holds.clear()
        self._log.add("fault_ended", fault=standing.id, what=str(standing.fault.kind), hits=standing.hits)

    def _spend(self, standing: Standing) -> None:
        standing.state = State.SPENT
        # never_ack still has to know the messages it has hit.
        if standing.fault.kind is not Kind.NEVER_ACK:
            self._delist(standing)

    # For those who handle connections and stanzas

    def hits(
        self,
        standing: tuple[Standing, ...],
        owner: Owner,
        direction: Direction | None,
        stanza: str,
        stanza_id: str = "",
    ) -> Iterator[Standing]:
        """The faults that hit now, oldest first. Each is counted and logged as it is taken from the iterator."""
        for one in standing:
            if not one.fits(owner, direction, stanza):
                continue
            if stanza_id in one.sticky or one.acts(owner):
                self.count(one, owner, direction, stanza, stanza_id)
                yield one

    def count(
        self, standing: Standing, owner: Owner, direction: Direction | None, stanza: str, stanza_id: str = ""
    ) -> None:
        """Puts a hit into the books."""
        fault, count = standing.fault, standing.fault.when.count
        if fault.kind is Kind.BAN:
            return  # It counts its bans, not the messages that it sees.
        self.record(standing, owner, direction, stanza, stanza_id)
        if fault.kind is Kind.NEVER_ACK:
            standing.sticky[stanza_id] = None
            if len(standing.sticky) > FAULT_STANZA_IDS_MAX:
                standing.sticky.popitem(last=False)
        if count is not None and standing.hits >= count and standing.state is State.ACTIVE:
            self._spend(standing)

    def record(
        self, standing: Standing, owner: Owner, direction: Direction | None, stanza: str, stanza_id: str = ""
    ) -> None:
        standing.hits += 1
        number, device = owner or (None, None)
        self._log.add(
            "fault", fault=standing.id, what=str(standing.fault.kind), number=number, device=device,
            direction=str(direction) if direction else None, stanza=stanza or None, id=stanza_id or None,
        )  # fmt: skip


def points(fault: Fault) -> tuple[str, ...]:
    """Where a fault is consulted: the names of the tuples in `Faults`."""
    kind, target = fault.kind, fault.target
    if kind in (Kind.REFUSE, Kind.OUTAGE) or target.stanza == "connect":
        return ("connects",)
    if kind is Kind.LOGIN_FAILURE or target.stanza == "login":
        return ("logins",)
    if kind not in CONNECTION_KINDS or target.stanza is not None:
        return ("stanzas",)
    if kind is Kind.STOP_ANSWERING:
        return ("logins", "stanzas")
    # A new connection is struck as soon as it is known whose it is.
    known_later = target.number is not None or kind is Kind.STREAM_ERROR
    return ("logins",) if known_later else ("connects",)
