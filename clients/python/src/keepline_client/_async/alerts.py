"""Events and alerts: what happened, what needs somebody, and who is told of it. With `installation` an operator's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, given, path, query
from keepline_client.types import (
    Alert,
    AlertChannel,
    AlertPage,
    AlertSettings,
    AlertState,
    ChannelTest,
    EventPage,
    QuietHours,
    Severity,
)


class AsyncAlerts:
    """`keepline.alerts`"""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def events(
        self,
        *,
        session_id: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        before: datetime | str | None = None,
        limit: int | None = None,
        all: bool = False,
    ) -> EventPage:
        """A page of what happened, newest first. `all`: to everybody and to the installation, for operators."""
        named = query(session_id=session_id, kind=kind, since=since, before=before, limit=limit)
        asked = {**named, **({"all": "true"} if all else {})}
        page: EventPage = await self._transport.json(Call("GET", "/api/monitoring", query=asked))
        return page

    async def page(
        self,
        *,
        state: AlertState | None = None,
        before: datetime | str | None = None,
        limit: int | None = None,
        installation: bool = False,
    ) -> AlertPage:
        """A page of alerts, newest first."""
        asked = {**query(state=state, before=before, limit=limit), **_owner(installation)}
        page: AlertPage = await self._transport.json(Call("GET", "/api/alerts", query=asked))
        return page

    async def acknowledge(self, alert_id: str, *, installation: bool = False) -> Alert:
        """Say that somebody looks after it: nobody is reminded of it any more."""
        where = path("api", "alerts", alert_id, "acknowledge")
        call = Call("POST", where, query=_owner(installation), is_harmless=True)
        alert: Alert = await self._transport.json(call)
        return alert

    async def settings(self, *, installation: bool = False) -> AlertSettings:
        """The thresholds of the rules, and the quiet hours."""
        call = Call("GET", "/api/alerts/settings", query=_owner(installation))
        found: AlertSettings = await self._transport.json(call)
        return found

    async def set_thresholds(
        self, thresholds: Mapping[str, float | None], *, installation: bool = False
    ) -> AlertSettings:
        """Change these thresholds; None is the usual one again."""
        return await self._change({"thresholds": dict(thresholds)}, installation)

    async def set_quiet_hours(self, quiet_hours: QuietHours | None, *, installation: bool = False) -> AlertSettings:
        """From when to when only what is critical is told; None: no quiet hours."""
        return await self._change({"quiet_hours": quiet_hours}, installation)

    async def create_channel(
        self,
        name: str,
        *,
        url: str | None = None,
        webhook_id: str | None = None,
        least: Severity = "info",
        installation: bool = False,
    ) -> AlertChannel:
        """Have an address (as Apprise writes it) or one of your webhooks told of alerts, from this severity on."""
        body = given(name=name, url=url, webhook_id=webhook_id, least=least)
        call = Call("POST", "/api/alerts/channels", body, query=_owner(installation))
        channel: AlertChannel = await self._transport.json(call)
        return channel

    async def channels(self, *, installation: bool = False) -> list[AlertChannel]:
        """Who is told, the oldest first, each with how it fares."""
        call = Call("GET", "/api/alerts/channels", query=_owner(installation))
        found: list[AlertChannel] = (await self._transport.json(call))["channels"]
        return found

    async def delete_channel(self, channel_id: str, *, installation: bool = False) -> None:
        """Tell it nothing more."""
        where = path("api", "alerts", "channels", channel_id)
        await self._transport.ask(Call("DELETE", where, query=_owner(installation)))

    async def test_channel(self, channel_id: str, *, installation: bool = False) -> ChannelTest:
        """Tell it something now, and see whether it took it."""
        where = path("api", "alerts", "channels", channel_id, "test")
        tested: ChannelTest = await self._transport.json(Call("POST", where, query=_owner(installation)))
        return tested

    async def _change(self, body: Mapping[str, object], installation: bool) -> AlertSettings:
        call = Call("PATCH", "/api/alerts/settings", body, query=_owner(installation))
        changed: AlertSettings = await self._transport.json(call)
        return changed


def _owner(installation: bool) -> dict[str, str]:
    return {"installation": "true"} if installation else {}
