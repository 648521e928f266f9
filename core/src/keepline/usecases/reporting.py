"""The daily reports: made once for each day of each tenant and of the operator, and told to whoever wants them.

The round is made every hour, because a day ends at every hour somewhere. It may run twice, late, or beside itself: a report is
created once, in the commit that notes the day as reported; and telling is taken on before it is done. A letter can come twice,
when who told it died before that could be written down; it cannot be forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from keepline.domain import costs
from keepline.domain.lease import NORMAL, PROFILES, LeaseProfile
from keepline.domain.reports import Day, Delays, MessageCounts, days_due, delays_of
from keepline.domain.webhook_policy import DeliveryState
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict
from keepline.ports.telling import Letter, NotTold, Teller
from keepline.records import accounts, connectors, monitoring, reports, webhooks
from keepline.records.accounts import Account
from keepline.records.connectors import ConnectorBeat
from keepline.records.reports import ReportSettings
from keepline.usecases.day_counting import COUNT_MAX, SessionDay, count_day

# Sessions that are counted at the same time.
AT_ONCE_MAX = 16
# In a report: those with the most downtime, then the busiest.
SESSIONS_SHOWN_MAX = 100
# Who told it died; a mail server answers within this, or never.
TELLING_TIME = timedelta(minutes=10)
# Once an hour.
TELLING_ATTEMPTS_MAX = 5

Write = Callable[[Mapping[str, Any]], Letter]
"""The letter that tells of a report's fields."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Installation:
    """What all reports of a round have in common."""

    accounts: Mapping[str | None, Sequence[Account]]  # by tenant; None: all of them
    connectors: int
    profile: LeaseProfile

    def share_of(self, sessions: int) -> costs.Usage:
        """What so many sessions cost a day before anybody writes."""
        total = len(self.accounts[None])
        if not total:
            return costs.Usage()
        # Most accounts have a standby or are offered one; an estimate need not ask each of them.
        fleet = costs.Fleet(total, 2 * total, max(1, self.connectors), self.profile)
        return costs.day_without_messages(fleet).times(sessions / total)


class Reporting:
    """Makes and tells reports. Lives in one event loop."""

    def __init__(self, store: DocumentStore, clock: Clock, teller: Teller, write: Write) -> None:
        self._store = store
        self._clock = clock
        self._teller = teller
        self._write = write

    async def make(self) -> None:
        """The round. What one tenant's documents do to it is logged and does not stop it. Raises StoreUnavailable."""
        installation = await self._look()
        counting = _Counting(self._store, self._clock)
        for tenant in installation.accounts:
            try:
                await self._make_due(tenant, installation, counting)
            except (
                LookupError,
                ValueError,
            ):  # A document that somebody changed by hand; ZoneInfo's errors are among these.
                log.exception("no report for %s", reports.owner_of(tenant))
        for state in ("pending", "telling"):
            for report in await self._store.query(reports.reports_told(state)):
                await self._tell(report)

    async def _look(self) -> Installation:
        documents, beats = await asyncio.gather(
            self._store.query(accounts.all_accounts()), self._store.query(connectors.all_connectors())
        )
        everyone = sorted(map(Account.read, documents), key=lambda account: account.id)
        of_tenant: dict[str | None, list[Account]] = {}
        for account in everyone:
            of_tenant.setdefault(account.tenant, []).append(account)
        of_tenant[None] = everyone
        alive = [beat for beat in map(ConnectorBeat.read, beats) if not beat.stopping]
        ttl_s = min((beat.ttl_s for beat in alive), default=NORMAL.ttl_s)
        profile = next((one for one in PROFILES.values() if one.ttl_s == ttl_s), NORMAL)
        return Installation(of_tenant, len(alive), profile)

    async def _make_due(self, tenant: str | None, installation: Installation, counting: _Counting) -> None:
        document = await self._store.get(reports.settings_path(tenant))
        settings = ReportSettings.read(tenant, document)
        for day in days_due(settings.made_until, self._clock.now(), ZoneInfo(settings.time_zone)):
            fields = await self._fields(tenant, installation, counting, settings, day)
            told = replace(settings, made_until=day.date)
            created = reports.new_report(
                tenant, day.date, fields, self._clock.now(), state="pending" if settings.enabled else "off"
            )
            try:
                *_, version = await self._store.commit([created, told.write()])
            except StoreConflict:
                return  # Another round has made it, or the settings were changed: the next one looks again.
            settings = replace(told, version=version)

    async def _fields(
        self, tenant: str | None, installation: Installation, counting: _Counting, settings: ReportSettings, day: Day
    ) -> dict[str, Any]:
        own = [account for account in installation.accounts[tenant] if account.created_at < day.end]
        sessions = await counting.of(own, day)
        hooks = await _webhooks(self._store, tenant, day)
        limits = await _limit_minutes(self._store, tenant, day)
        counts = sum((one.messages for one in sessions), MessageCounts())
        delays = [delay for one in sessions for delay in one.delays_s]
        to_webhooks = hooks["delivered"] + hooks["failed"]
        usage = costs.messages(counts.sent, counts.received, to_webhooks) + installation.share_of(len(own))
        shown = sorted(sessions, key=lambda one: (-one.ledger.downtime_s, -one.messages.accepted))
        return {
            "time_zone": settings.time_zone,
            "from": day.begin,
            "to": day.end,
            "sessions_total": len(own),
            "uptime": _uptime(sessions),
            "messages": _messages(counts),
            "delays": _delays(delays_of(delays)),
            "doubts": sum(one.doubts for one in sessions),
            "bans": sum(one.ledger.bans for one in sessions),
            "rate_signals": sum(one.rate_signals for one in sessions),
            "dead_letters": sum(one.dead_letters for one in sessions),
            "limit_minutes": limits,
            "webhooks": hooks,
            "cost": _cost(usage),
            "hours": _hours(sessions, day),
            "sessions": [_session(one) for one in shown[:SESSIONS_SHOWN_MAX]],
        }

    async def _tell(self, report: Document) -> None:
        """Tell of one report, unless somebody else does."""
        now = self._clock.now()
        told = report.fields["told"]
        if told["state"] == "telling" and now - told["at"] < TELLING_TIME:
            return
        if told["attempts"] >= TELLING_ATTEMPTS_MAX:
            await self._note(report, "failed")
            return
        taken = await self._note(report, "telling")
        if taken is None:
            return
        try:
            heard = await self._teller.tell(report.fields["tenant"], self._write(report.fields))
        except NotTold as error:
            log.warning("the report %s was not told: %s", report.id, error)
            await self._note(taken, "pending")
        else:
            await self._note(taken, "told" if heard else "off")

    async def _note(self, report: Document, state: str) -> Document | None:
        """The report with what became of its telling; None when somebody else was faster."""
        change = reports.telling(report, state, self._clock.now())
        try:
            (version,) = await self._store.commit([change])
        except StoreConflict:
            return None
        return replace(report, fields={**report.fields, **change.fields}, version=version)


class _Counting:
    """The sessions' days of a round: what a tenant's report has counted the operator's need not count again."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counted: dict[tuple[str, Day], SessionDay] = {}
        self._free = asyncio.Semaphore(AT_ONCE_MAX)

    async def of(self, own: Sequence[Account], day: Day) -> list[SessionDay]:
        return await asyncio.gather(*(self._count(account, day) for account in own))

    async def _count(self, account: Account, day: Day) -> SessionDay:
        async with self._free:
            found = self._counted.get((account.id, day))
            if found is None:
                found = await count_day(self._store, account, day, self._clock.now())
                self._counted[account.id, day] = found
            return found


async def _webhooks(store: DocumentStore, tenant: str | None, day: Day) -> dict[str, int]:
    """How the deliveries fared that were queued on the day."""
    hooks = await store.query(webhooks.webhooks_of_tenant(tenant) if tenant is not None else webhooks.all_webhooks())
    names = {"delivered": DeliveryState.DELIVERED, "failed": DeliveryState.DEAD, "waiting": DeliveryState.PENDING}

    async def count(state: DeliveryState) -> int:
        queries = [webhooks.deliveries_between(hook.id, state, day.begin, day.end, COUNT_MAX) for hook in hooks]
        return sum(await asyncio.gather(*map(store.count, queries)))

    counts = await asyncio.gather(*map(count, names.values()))
    return dict(zip(names, counts, strict=True))


async def _limit_minutes(store: DocumentStore, tenant: str | None, day: Day) -> dict[str, int]:
    """In how many minutes each of the limits was hit; of an installation, minutes of all of its users."""
    found: dict[str, int] = {}
    for event in await store.query(monitoring.limit_hits(tenant, day.begin, day.end)):
        name = event.fields["details"]["limit"]
        found[name] = found.get(name, 0) + 1
    return found


def _uptime(sessions: Sequence[SessionDay]) -> dict[str, Any]:
    ledgers = [one.ledger for one in sessions]
    watched_s = sum(one.watched_s for one in ledgers)
    downtime_s = sum(one.downtime_s for one in ledgers)
    return {
        # Rounded down: a day with an outage never reads as 100 %.
        "share": int((1 - downtime_s / watched_s) * 1_000_000) / 1_000_000 if watched_s else None,
        "watched_s": round(watched_s, 1),
        "downtime_s": round(downtime_s, 1),
        "longest_s": round(max((one.longest_s for one in ledgers), default=0.0), 1),
        "degraded_s": round(sum(one.degraded_s for one in ledgers), 1),
        "disconnects": sum(one.disconnects for one in ledgers),
        "reconnects": sum(one.reconnects for one in ledgers),
    }


def _messages(counts: MessageCounts) -> dict[str, int]:
    return {**asdict(counts), "waiting": counts.waiting}


def _delays(delays: Delays | None) -> dict[str, Any] | None:
    if delays is None:
        return None
    return {
        "measured": delays.measured,
        "p50_s": round(delays.p50_s, 3),
        "p95_s": round(delays.p95_s, 3),
        "max_s": round(delays.max_s, 3),
    }


def _cost(usage: costs.Usage) -> dict[str, Any]:
    parts = costs.estimate(usage)
    return {
        "usd": round(sum(part.usd for part in parts), 4),
        "parts": [
            {"name": part.name, "quantity": round(part.quantity, 1), "unit": part.unit, "usd": round(part.usd, 4)}
            for part in parts
        ],
        "prices_of": costs.PRICES_OF,
    }


def _hours(sessions: Sequence[SessionDay], day: Day) -> list[dict[str, Any]]:
    return [
        {
            "from": begin,
            "accepted": sum(one.hours[n].accepted for one in sessions),
            "received": sum(one.hours[n].received for one in sessions),
            "downtime_s": round(sum(one.hours[n].downtime_s for one in sessions), 1),
        }
        for n, (begin, _) in enumerate(day.hours())
    ]


def _session(one: SessionDay) -> dict[str, Any]:
    return {
        "session_id": one.account.session_id,
        "tenant": one.account.tenant,
        "uptime": _uptime([one]),
        "messages": _messages(one.messages),
        "delays": _delays(one.delays),
        "doubts": one.doubts,
        "bans": one.ledger.bans,
        "rate_signals": one.rate_signals,
        "dead_letters": one.dead_letters,
    }
