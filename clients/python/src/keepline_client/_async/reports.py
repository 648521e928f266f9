"""Daily reports: read them, and say how they are wanted."""

from __future__ import annotations

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, given, path
from keepline_client.types import Report, ReportPage, ReportSettings


class AsyncReports:
    """`keepline.reports`. With `installation` the operator's, over all users: that takes a key with the scope `operator`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, day: str, *, installation: bool = False) -> Report:
        """A day's report (`2026-11-21`). NotFound (`report_not_found`) before it is made."""
        report: Report = await self._transport.json(
            Call("GET", path("api", "reports", day), query=_whose(installation))
        )
        return report

    async def page(self, *, limit: int = 30, before: str | None = None, installation: bool = False) -> ReportPage:
        """Reports without their hours and sessions, the newest first, only of days before one that is given."""
        query = {**_whose(installation), **given(limit=limit, before=before)}
        page: ReportPage = await self._transport.json(Call("GET", "/api/reports", query=query))
        return page

    async def settings(self, *, installation: bool = False) -> ReportSettings:
        """How the reports are wanted."""
        return await self._settings(Call("GET", "/api/reports/settings", query=_whose(installation)))

    async def update_settings(
        self, *, enabled: bool | None = None, time_zone: str | None = None, installation: bool = False
    ) -> ReportSettings:
        """Say how the reports are wanted; what is None stays. `time_zone` is a name like Europe/Bucharest."""
        body = given(enabled=enabled, time_zone=time_zone)
        return await self._settings(Call("PATCH", "/api/reports/settings", body, query=_whose(installation)))

    async def _settings(self, call: Call) -> ReportSettings:
        settings: ReportSettings = await self._transport.json(call)
        return settings


def _whose(installation: bool) -> dict[str, str]:
    return {"installation": "true"} if installation else {}
