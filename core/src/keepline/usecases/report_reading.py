"""Reports as the API gives them, and how somebody wants theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keepline.domain.errors import InvalidInput, NotFound, Unavailable
from keepline.domain.reports import next_report_at
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict
from keepline.records import reports
from keepline.records.reports import ReportSettings

_TRIES_MAX = 3


@dataclass(frozen=True)
class SettingsView:
    """How somebody's reports are wanted, and when the next one is due."""

    settings: ReportSettings
    next_report_at: datetime


class Reports:
    """Everybody's; `tenant` None is the operator's, over all tenants."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def newest(self, tenant: str | None, limit: int, before: date | None) -> Sequence[Document]:
        """The newest first."""
        until = before.isoformat() if before is not None else None
        return await self._store.query(reports.newest_reports(reports.owner_of(tenant), limit, until))

    async def look(self, tenant: str | None, on: date) -> Document:
        """Raises NotFound (`report_not_found`)."""
        document = await self._store.get(reports.report_path(tenant, on))
        if document is None:
            raise NotFound(
                "report_not_found",
                "There is no report of this day.",
                "A day's report is made within the hour after it has ended; GET /api/reports lists those that there are.",
            )
        return document

    async def settings(self, tenant: str | None) -> SettingsView:
        """As they stand."""
        return self._view(await self._read(tenant))

    async def change(self, tenant: str | None, *, enabled: bool | None, time_zone: str | None) -> SettingsView:
        """None leaves a setting as it is. Raises InvalidInput (`bad_time_zone`) and Unavailable (`busy`)."""
        if time_zone is not None:
            _zone(time_zone)
        for _ in range(_TRIES_MAX):
            before = await self._read(tenant)
            wanted = replace(
                before,
                enabled=before.enabled if enabled is None else enabled,
                time_zone=before.time_zone if time_zone is None else time_zone,
            )
            try:
                await self._store.commit([wanted.write()])
            except StoreConflict:
                continue
            return self._view(wanted)
        raise Unavailable("busy", "Too many requests at this moment.", "Try again in a second.")

    async def _read(self, tenant: str | None) -> ReportSettings:
        return ReportSettings.read(tenant, await self._store.get(reports.settings_path(tenant)))

    def _view(self, settings: ReportSettings) -> SettingsView:
        return SettingsView(settings, next_report_at(self._clock.now(), _zone(settings.time_zone)))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        # ValueError: a name with a path in it. OSError: a folder of zones.
        raise InvalidInput(
            "bad_time_zone",
            "There is no such time zone.",
            "Use a name of the IANA database, like Europe/Bucharest or UTC.",
        ) from error
