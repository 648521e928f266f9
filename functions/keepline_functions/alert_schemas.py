"""What requests about events and alerts may contain."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keepline.domain.alert_channels import NAME_CHARACTERS_MAX
from keepline.domain.alert_rules import THRESHOLDS
from keepline.domain.alerts import AlertState
from keepline.domain.errors import InvalidInput
from keepline.domain.events import EventKind, Severity
from keepline.domain.quiet_hours import QuietHours
from keepline.usecases.alerts import LISTED_MAX, Asked, QuietChoice, WantedChannel
from keepline_functions.schemas import PAGE_MESSAGES_DEFAULT, Body, Query, Time


class ListEvents(Query):
    """Query of `GET /api/monitoring`."""

    all: bool = False
    """Everybody's and the installation's; for operators. Not together with a session."""
    kind: EventKind | None = None
    """Only those of this kind."""
    session_id: Annotated[str | None, Field(examples=["support"])] = None
    """Only those of this session of yours."""
    since: Time | None = None
    """Only what happened from then on."""
    limit: int = Field(PAGE_MESSAGES_DEFAULT, ge=1, le=LISTED_MAX)
    """How many at a time."""
    before: Time | None = None
    """Only what is older; give the `next_before` of one page to get the next."""

    def asked(self) -> Asked:
        """Raises InvalidInput (`bad_field`)."""
        if self.all and self.session_id is not None:
            raise InvalidInput(
                "bad_field", "session_id names a session of yours, and all means everybody's.", "Give one of them."
            )
        return Asked(self.all, self.kind, self.session_id, self.since, self.before, self.limit)


class OwnerOfAlerts(Query):
    """Whose alerts a request is about."""

    installation: bool = False
    """The installation's instead of your own; for operators."""


class ListAlerts(OwnerOfAlerts):
    """Query of `GET /api/alerts`."""

    state: AlertState | None = None
    """Only those in this state."""
    limit: int = Field(PAGE_MESSAGES_DEFAULT, ge=1, le=LISTED_MAX)
    """How many at a time."""
    before: Time | None = None
    """Only those that were opened earlier; give the `next_before` of one page to get the next."""


class ChooseQuietHours(Body):
    """From when to when nothing is told that can wait."""

    begins: Annotated[str, Field(examples=["22:00"])]
    """A time of the day."""
    ends: Annotated[str, Field(examples=["07:00"])]
    """Another one; the next morning's where it is the earlier."""
    time_zone: Annotated[str, Field(examples=["Europe/Bucharest"], max_length=64)]
    """By the clocks of which place (IANA's name)."""


class ChangeAlertSettings(Body):
    """Body of `PATCH /api/alerts/settings`. What is not there stays."""

    thresholds: Annotated[dict[str, float | None], Field(max_length=len(THRESHOLDS))] = Field(default_factory=dict)
    """By their names; null is the usual one again."""
    quiet_hours: ChooseQuietHours | None = None
    """Null: none."""

    def quiet(self) -> QuietChoice | None:
        """Raises InvalidInput (`bad_quiet_hours`)."""
        if "quiet_hours" not in self.model_fields_set:
            return None
        wanted = self.quiet_hours
        return QuietChoice(QuietHours.checked(wanted.begins, wanted.ends, wanted.time_zone) if wanted else None)


class CreateChannel(Body):
    """Body of `POST /api/alerts/channels`. Either an address or a webhook."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX)]
    """For you to know it by."""
    url: str | None = Field(None, repr=False)
    """As Apprise writes it: `mailtos://name:password@example.com?to=me@example.com`, `slack://…`, `twilio://…`."""
    webhook_id: str | None = None
    """A webhook of yours, which is then told `alert.opened` and `alert.closed`."""
    least: Literal["info", "warning", "critical"] = "info"
    """What is milder is not told there."""

    def wanted(self) -> WantedChannel:
        """Raises InvalidInput (`bad_field`)."""
        if (self.url is None) == (self.webhook_id is None):
            raise InvalidInput(
                "bad_field", "url and webhook_id: one of the two is needed.", "Give an address or a webhook."
            )
        return WantedChannel(self.name, self.url, self.webhook_id, Severity(self.least))
