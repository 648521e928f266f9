"""What requests about watched targets may contain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from keepline.domain.uptime_checks import BOUNDS
from keepline.usecases.uptime_targets import SLO_MAX, SLO_MIN, Changes, Wanted, settings_of
from keepline_functions.schemas import Body

NAME_CHARACTERS_MAX = 100
TEXT_CHARACTERS_MAX = 200
_STATUSES_MAX = 10

_Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX)]
_Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
_Method = Literal["GET", "HEAD", "POST"]
_Statuses = Annotated[
    list[Annotated[int, Field(ge=200, le=599)]], Field(min_length=1, max_length=_STATUSES_MAX, examples=[[200]])
]


def _bounded(name: str) -> Any:
    least, most = BOUNDS[name]
    return Field(None, ge=least, le=most)


class UptimeSettings(Body):
    """How a target is judged. What is not there is the preset's; null goes back to that."""

    preset: Literal["conservative", "balanced", "aggressive"] | None = None
    """`balanced` if it is not said."""
    interval_s: Literal[3, 5, 10] | None = None
    """Seconds between the beginnings of checks."""
    failures_until_down: int | None = _bounded("failures_until_down")
    """In a row, until it is down."""
    successes_until_up: int | None = _bounded("successes_until_up")
    """In a row, until it is up again."""
    slow_ms: int | None = _bounded("slow_ms")
    """An answer that takes longer is slow."""
    timeout_ms: int | None = _bounded("timeout_ms")
    """An answer that takes longer is none."""
    degradation_window_s: int | None = _bounded("degradation_window_s")
    """How far is looked back: while half of these checks are slow or fail, it is degraded."""
    slo: float | None = Field(None, ge=SLO_MIN, le=SLO_MAX)
    """The share of 30 days that it is to be up; 0.999 if it is not said."""

    def named(self) -> dict[str, Any]:
        """What is said, null for what is to be as if it were not."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class AddTarget(Body):
    """Body of `POST /api/uptime/targets`."""

    name: _Name
    """For people."""
    url: str
    """`https://`, at a public address."""
    method: _Method = "GET"
    """How it is asked."""
    expected_status: _Statuses = Field(default_factory=lambda: [200])
    """It is up when it answers with one of these. Redirects are not followed."""
    text: _Text | None = None
    """It must stand in the first 64 KiB of the body."""
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Up to 10 that it is asked with. Their values are sealed, and shown nowhere."""
    settings: UptimeSettings | None = None
    """How it is judged."""

    def wanted(self) -> Wanted:
        return Wanted(
            self.name,
            self.url,
            self.method,
            tuple(self.expected_status),
            self.text,
            self.headers,
            settings_of(self.settings.named() if self.settings else {}),
        )


class ChangeTarget(Body):
    """Body of `PATCH /api/uptime/targets/{target_id}`. What is not there stays; of Keepline's own parts `name`, `settings` and
    `enabled` can be changed."""

    name: _Name | None = None
    """For people."""
    url: str | None = None
    """`https://`, at a public address."""
    method: _Method | None = None
    """How it is asked."""
    expected_status: _Statuses | None = None
    """It is up when it answers with one of these."""
    text: _Text | None = None
    """It must stand in the body; null: any body will do."""
    headers: dict[str, str] | None = Field(None, repr=False)
    """All of them; those that are not named are gone."""
    settings: UptimeSettings | None = None
    """What of them is to be different."""
    enabled: bool | None = None
    """Whether it is watched."""

    def changes(self) -> Changes:
        return Changes(
            self.name,
            self.url,
            self.method,
            tuple(self.expected_status) if self.expected_status else None,
            self.text,
            "text" in self.model_fields_set and self.text is None,
            self.headers,
            self.settings.named() if self.settings else None,
            self.enabled,
        )
