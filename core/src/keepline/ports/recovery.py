"""Having a target started afresh by whatever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from keepline.domain.recovery import Reason, StepState, Way


@dataclass(frozen=True)
class Order:
    """One way of one attempt. A repeat of an order has the same `key`, and is one order.

    `settings`: where and what is to be restarted, as the target's document has it.
    """

    key: str
    recovery: str
    target: str
    name: str
    kind: str
    way: Way
    attempt: int
    reason: Reason
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How an order ended: `done`, `failed` or `not_offered`, and in a few words why, for the record."""

    state: StepState
    detail: str


class Restarter(Protocol):
    """A platform. Its methods raise nothing: whatever goes wrong is an outcome."""

    @property
    def replaces_before_ending(self) -> bool:
        """Whether a restart begins with the new one, so that nothing is missing meanwhile."""
        ...

    async def carry_out(self, order: Order) -> Outcome:
        """Returns when the platform says that it is done, within the platform's own time limit. May be cancelled."""
        ...

    async def call_off(self, order: Order) -> bool:
        """End what an order began. False if it runs on."""
        ...
