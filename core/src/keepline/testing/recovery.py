"""A platform in memory: it does what it is told to do with each way, after so many seconds, and writes down its orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keepline.domain.recovery import StepState, Way
from keepline.ports.recovery import Order, Outcome


@dataclass
class Behaviour:
    """How a way goes: after `after_s` seconds it is `state`, and `then` is called, as what the platform has done."""

    after_s: float = 1.0
    state: StepState = StepState.DONE
    then: Callable[[Order], None] = field(default=lambda _order: None)


class MemoryRestarter:
    """An order that comes again under its key is the same order, as a platform must have it."""

    def __init__(self, ways: Mapping[Way, Behaviour], *, replaces_before_ending: bool = False) -> None:
        self.ways = dict(ways)
        self.replaces_before_ending = replaces_before_ending
        self.orders: list[Order] = []
        self.called_off: list[Order] = []
        self.can_call_off = True

    async def carry_out(self, order: Order) -> Outcome:
        behaviour = self.ways.get(order.way)
        if behaviour is None:
            return Outcome(StepState.NOT_OFFERED, "no such way")
        if order.key not in [one.key for one in self.orders]:
            self.orders.append(order)
        await asyncio.sleep(behaviour.after_s)
        behaviour.then(order)
        return Outcome(behaviour.state, "as told")

    async def call_off(self, order: Order) -> bool:
        self.called_off.append(order)
        return self.can_call_off
