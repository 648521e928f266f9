"""What is watched, for operators: Keepline's own parts, and what you add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, given, path
from keepline_client.types import (
    Target,
    TargetChanges,
    TargetMethod,
    TargetSettingsChanges,
    TargetStory,
    UptimeOverview,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AsyncUptime:
    """`keepline.uptime`; its key needs the scope `operator`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def all(self) -> UptimeOverview:
        """Every target: how it is now, its uptime by period, its error budget."""
        found: UptimeOverview = await self._transport.json(Call("GET", "/api/uptime"))
        return found

    async def get(self, target_id: str) -> TargetStory:
        """A target with its 90 days, its response times and its outages."""
        found: TargetStory = await self._transport.json(Call("GET", path("api", "uptime", target_id)))
        return found

    async def add(
        self,
        name: str,
        url: str,
        *,
        method: TargetMethod | None = None,
        expected_status: Sequence[int] | None = None,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
        settings: TargetSettingsChanges | None = None,
    ) -> Target:
        """Have an address watched. Its first check comes within a minute."""
        body = given(
            name=name,
            url=url,
            method=method,
            expected_status=list(expected_status) if expected_status is not None else None,
            text=text,
            headers=headers,
            settings=settings,
        )
        return await self._target(Call("POST", "/api/uptime/targets", body))

    async def update(self, target_id: str, **changes: Unpack[TargetChanges]) -> Target:
        """Change how a target is watched, switch that off and on. What is not named stays."""
        return await self._target(Call("PATCH", path("api", "uptime", "targets", target_id), dict(changes)))

    async def delete(self, target_id: str) -> None:
        """Stop watching an address."""
        await self._transport.ask(Call("DELETE", path("api", "uptime", "targets", target_id)))

    async def _target(self, call: Call) -> Target:
        target: Target = await self._transport.json(call)
        return target
