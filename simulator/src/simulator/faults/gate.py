"""Faults at the level of stanzas: the one place that every stanza of a session passes while any such fault stands."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from simulator.faults.model import Direction, Fault, Kind
from simulator.faults.registry import Faults, Owner, Standing
from simulator.faults.wire import Line
from simulator.limits import FAULT_STANZA_IDS_MAX, RATE_TIMES_MAX
from simulator.nodes import Node


class Struck(Protocol):
    """What faults may do to a session."""

    @property
    def owner(self) -> Owner: ...

    def abort(self) -> None: ...

    def strike_socket(self, standing: Standing) -> None: ...

    def fail_stream(self, fault: Fault) -> None: ...

    def fail_login(self, fault: Fault) -> None: ...

    def refuse_message(self, node: Node, code: int, why: str) -> None: ...

    def ban(self, code: int, expire_s: float) -> None: ...


class _Lane:
    """One direction: stanzas that wait for their time or for being overtaken."""

    def __init__(self, out: Callable[[Node], None]) -> None:
        self._out = out
        self._late: Line[Node] = Line(self._pass)
        self._overtaken: deque[Node] = deque()

    def take(self, node: Node, delay_s: float, hold_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        if hold_s is not None and not self._overtaken:
            self._overtaken.append(node)
            loop.call_later(hold_s, self._give_up_waiting, node)
        elif delay_s > 0:
            self._late.push(node, loop.time() + delay_s)
        else:
            self._pass(node)

    def _pass(self, node: Node) -> None:
        overtaken, self._overtaken = self._overtaken, deque()
        self._out(node)
        for one in overtaken:
            self._out(one)

    def _give_up_waiting(self, node: Node) -> None:
        # By identity: equal stanzas are different ones.
        waiting = deque(one for one in self._overtaken if one is not node)
        if len(waiting) < len(self._overtaken):
            self._overtaken = waiting
            self._out(node)


class Gate:
    """Decides about each stanza of one session. `take` and `send` are where stanzas go that get through."""

    def __init__(
        self, session: Struck, faults: Faults, take: Callable[[Node], None], send: Callable[[Node], None]
    ) -> None:
        self._session = session
        self._faults = faults
        self._lanes = {Direction.IN: _Lane(take), Direction.OUT: _Lane(send)}
        # Ids of messages whose ack is to be lost.
        self._mute: OrderedDict[str, None] = OrderedDict()

    def inbound(self, node: Node) -> None:
        self._meet(Direction.IN, node)

    def outbound(self, node: Node) -> bool:
        """False if the stanza is lost."""
        if self._mute and node.tag == "ack" and node.text("class") == "message" and node.text("id") in self._mute:
            del self._mute[node.text("id")]
            return False
        return self._meet(Direction.OUT, node)

    def _meet(self, direction: Direction, node: Node) -> bool:
        delay_s, copies = 0.0, 1
        hold_s: float | None = None
        owner = self._session.owner
        for standing in self._faults.hits(self._faults.stanzas, owner, direction, node.tag, node.text("id")):
            fault = standing.fault
            if self._ends(standing, direction, node):
                return False
            if fault.kind is Kind.SLOW:
                delay_s += late(standing, owner)
            elif fault.kind is Kind.DUPLICATE:
                copies += int(fault.number_of("copies"))
            elif fault.kind is Kind.REORDER:
                hold_s = fault.number_of("hold_s")
            elif fault.kind is Kind.CLOCK_SKEW and direction is Direction.OUT:
                node = skewed(node, fault.number_of("skew_s"))
        for _ in range(copies):
            self._lanes[direction].take(node, delay_s, hold_s)
        return True

    def _ends(self, standing: Standing, direction: Direction, node: Node) -> bool:
        """Whether a fault keeps the stanza from going on."""
        fault, session = standing.fault, self._session
        if fault.kind in (Kind.LOSSY, Kind.STOP_ANSWERING):
            return True
        if fault.kind is Kind.RESET:
            session.abort()
            return True
        if fault.kind is Kind.STREAM_ERROR:
            session.fail_stream(fault)
            return True
        if fault.kind is Kind.HALF_OPEN:
            session.strike_socket(standing)
            return True
        return direction is Direction.IN and node.tag == "message" and self._ends_message(standing, node)

    def _ends_message(self, standing: Standing, node: Node) -> bool:
        fault = standing.fault
        if fault.kind is Kind.ACK_ERROR:
            self._session.refuse_message(node, int(fault.number_of("code")), f"fault {standing.id}")
            return True
        if fault.kind in (Kind.DROP_ACK, Kind.NEVER_ACK):
            self._mute[node.text("id")] = None
            if len(self._mute) > FAULT_STANZA_IDS_MAX:
                self._mute.popitem(last=False)
        return fault.kind is Kind.BAN and self._banned(standing, node)

    def _banned(self, standing: Standing, node: Node) -> bool:
        fault, owner = standing.fault, self._session.owner
        number = owner[0] if owner else ""
        times = standing.sends.setdefault(number, deque(maxlen=RATE_TIMES_MAX))
        now = asyncio.get_running_loop().time()
        times.append(now)
        while times[0] <= now - fault.number_of("per_s"):
            times.popleft()
        if len(times) <= fault.number_of("sends"):
            return False
        times.clear()
        self._faults.record(standing, owner, Direction.IN, node.tag, node.text("id"))
        self._session.ban(int(fault.number_of("code")), fault.number_of("expire_s"))
        return True


def meet_login(session: Struck, faults: Faults) -> float | None:
    """What happens to a login: seconds until it is answered, or None if it is not (whatever was to be said has been)."""
    delay_s = 0.0
    for standing in faults.hits(faults.logins, session.owner, None, "login"):
        fault = standing.fault
        if fault.kind is Kind.LOGIN_FAILURE:
            session.fail_login(fault)
            return None
        if fault.kind is Kind.RESET:
            session.abort()
            return None
        if fault.kind is Kind.STREAM_ERROR:
            session.fail_stream(fault)
            return None
        if fault.kind is Kind.STOP_ANSWERING:
            return None
        if fault.kind is Kind.SLOW and fault.target.stanza:
            delay_s += late(standing, session.owner)
        else:
            session.strike_socket(standing)
    return delay_s


def late(standing: Standing, owner: Owner) -> float:
    jitter = standing.fault.number_of("jitter_s")
    return max(standing.fault.number_of("delay_s") + standing.random(owner).uniform(-jitter, jitter), 0.0)


def skewed(node: Node, skew_s: float) -> Node:
    """The stanza as a server says it whose clock is off."""
    t = node.text("t")
    return Node(node.tag, {**node.attrs, "t": str(int(int(t) + skew_s))}, node.content) if t.isdigit() else node
