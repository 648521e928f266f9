"""Making a report in a world in which the day of a test is not over."""

from __future__ import annotations

from datetime import timedelta

from keepline.ports.documents import Delete
from keepline.records import accounts

from .support import NOON, World

DAY = "2026-02-28"


def make_report(world: World, tenant: str) -> None:
    """The report of the day before the test's, of a session that was there then."""
    present, world.clock.at = world.clock.at, NOON - timedelta(days=1)
    account = world.add_session("till", tenant, state="connected", code="connected", phone="14155550177")
    world.clock.at = max(present, NOON)
    world.run(world.process.reporting.make())
    paths = (accounts.account_path(account), accounts.secret_path(account), accounts.device_path(account, "a"))
    world.commit(*map(Delete, paths))
