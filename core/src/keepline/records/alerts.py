"""`alerts/{id}`: one document per alert. `alert_settings/{owner}`: thresholds, quiet hours. `alert_channels/{id}`: who is told.

Owner is a tenant, or the installation, whose documents have `tenant` null. An alert's id counts the alerts of its condition, so
two who open it at the same time write the same document, and one of them is refused.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.alert_rules import Condition, Rule, Thresholds
from keepline.domain.alerts import Alert, AlertState, Told
from keepline.domain.events import Severity
from keepline.domain.quiet_hours import QuietHours
from keepline.ports.documents import SERVER_TIME, Create, Delete, Document, Put, Query, Update, Version, Where
from keepline.records.webhooks import SealedSecrets

ALERTS = "alerts"
ALERT_SETTINGS = "alert_settings"
ALERT_CHANNELS = "alert_channels"

# More open alerts than these are not looked at in one round.
OPEN_MAX = 1_000
# Closed ones are told of for so long; what a channel has not taken by then it is not told.
TOLD_FOR = timedelta(days=1)
CLOSED_MAX = 500
ALERTS_KEPT = timedelta(days=90)
CHANNELS_OF_OWNER_MAX = 10
CHANNELS_MAX = 2_000
SETTINGS_MAX = 2_000
# No tenant may be called that: ids of tenants begin with a letter or a digit.
INSTALLATION = "_installation"


def alert_path(alert: str) -> str:
    return f"{ALERTS}/{alert}"


def settings_path(tenant: str | None) -> str:
    return f"{ALERT_SETTINGS}/{tenant if tenant is not None else INSTALLATION}"


def channel_path(channel: str) -> str:
    return f"{ALERT_CHANNELS}/{channel}"


def key_of(condition: Condition) -> str:
    """The name of a condition among the ids of alerts."""
    named = f"{condition.tenant or INSTALLATION} {condition.subject}"
    digest = b32encode(hashlib.sha256(named.encode()).digest()).decode().lower()[:26]
    return f"{condition.rule.value}_{digest}"


@dataclass(frozen=True)
class KeptAlert:
    """An alert as it was read."""

    alert: Alert
    version: Version

    @classmethod
    def read(cls, document: Document) -> KeptAlert:
        fields = document.fields
        condition = Condition(
            Rule(fields["rule"]), fields["subject"], fields["tenant"], fields["session_id"], dict(fields["details"])
        )
        alert = Alert(
            key=fields["key"],
            number=fields["number"],
            condition=condition,
            severity=Severity(fields["severity"]),
            opened_at=fields["opened_at"],
            last_seen_at=fields["last_seen_at"],
            state=AlertState(fields["state"]),
            clear_since=fields["clear_since"],
            closed_at=fields["closed_at"],
            count=fields["count"],
            acknowledged_at=fields["acknowledged_at"],
            acknowledged_by=fields["acknowledged_by"],
            told={channel: Told(**told) for channel, told in fields["told"].items()},
        )
        return cls(alert, document.version)


def new_alert(alert: Alert) -> Create:
    return Create(alert_path(alert.id), _fields(alert))


def changed_alert(alert: Alert, version: Version) -> Update:
    """Refused when somebody else has changed it."""
    return Update(alert_path(alert.id), _fields(alert), version)


def _fields(alert: Alert) -> dict[str, Any]:
    condition = alert.condition
    return {
        "key": alert.key,
        "number": alert.number,
        "rule": condition.rule.value,
        "subject": condition.subject,
        "tenant": condition.tenant,
        "session_id": condition.session_id,
        "severity": alert.severity.value,
        "state": alert.state.value,
        "code": condition.rule.value,
        "sentence": condition.sentence,
        "next_step": condition.next_step,
        "details": dict(condition.details),
        "opened_at": alert.opened_at,
        "last_seen_at": alert.last_seen_at,
        "clear_since": alert.clear_since,
        "closed_at": alert.closed_at,
        "count": alert.count,
        "acknowledged_at": alert.acknowledged_at,
        "acknowledged_by": alert.acknowledged_by,
        "told": {channel: asdict(told) for channel, told in alert.told.items()},
        "expire_at": alert.closed_at + ALERTS_KEPT if alert.closed_at is not None else None,
    }


def open_alerts() -> Query:
    """Of the whole installation."""
    return Query(ALERTS, (Where("state", "==", AlertState.OPEN.value),), limit=OPEN_MAX)


def closed_since(since: datetime) -> Query:
    """Those of the whole installation that some channel may still have to be told of."""
    return Query(ALERTS, (Where("closed_at", ">=", since),), "closed_at", limit=CLOSED_MAX)


def newest_of_key(key: str) -> Query:
    """The newest alert of a condition."""
    return Query(ALERTS, (Where("key", "==", key),), "number", descending=True, limit=1)


def alerts_of(tenant: str | None, state: str | None, before: datetime | None, limit: int) -> Query:
    """Newest first; of the installation where `tenant` is None."""
    where = [Where("tenant", "==", tenant)]
    if state is not None:
        where.append(Where("state", "==", state))
    if before is not None:
        where.append(Where("opened_at", "<", before))
    return Query(ALERTS, tuple(where), "opened_at", descending=True, limit=limit)


@dataclass(frozen=True)
class AlertSettings:
    """What an owner has chosen; `quiet_hours` is None for none."""

    tenant: str | None
    thresholds: Thresholds
    quiet_hours: QuietHours | None

    @classmethod
    def read(cls, tenant: str | None, document: Document | None) -> AlertSettings:
        if document is None:
            return cls(tenant, Thresholds(), None)
        quiet = document.fields["quiet_hours"]
        chosen = Thresholds(dict(document.fields["thresholds"]))
        return cls(tenant, chosen, QuietHours(**quiet) if quiet is not None else None)

    def write(self) -> Put:
        return Put(
            settings_path(self.tenant),
            {
                "tenant": self.tenant,
                "thresholds": dict(self.thresholds.chosen),
                "quiet_hours": asdict(self.quiet_hours) if self.quiet_hours is not None else None,
                "changed_at": SERVER_TIME,
            },
        )


def all_settings() -> Query:
    """Of everybody who has chosen something."""
    return Query(ALERT_SETTINGS, limit=SETTINGS_MAX)


@dataclass(frozen=True)
class Channel:
    """Somebody who is told of alerts: through Apprise (`sealed` has the address) or by a webhook of the owner's.

    `shown` is what may be shown of the address. `failures` in a row, since `failing_since`, the last one with `error`.
    """

    id: str
    tenant: str | None
    owner: str  # who made it; of the installation's the operator, whose webhook it may be
    name: str
    shown: str
    sealed: SealedSecrets | None = field(repr=False)
    webhook: str | None
    least: Severity
    failures: int
    failing_since: datetime | None
    error: str | None
    told_at: datetime | None
    created_at: datetime
    version: Version

    @classmethod
    def read(cls, document: Document) -> Channel:
        fields = document.fields
        return cls(
            id=document.id,
            tenant=fields["tenant"],
            owner=fields["owner"],
            name=fields["name"],
            shown=fields["shown"],
            sealed=SealedSecrets.read(fields["sealed"]) if fields["sealed"] is not None else None,
            webhook=fields["webhook"],
            least=Severity(fields["least"]),
            failures=fields["failures"],
            failing_since=fields["failing_since"],
            error=fields["error"],
            told_at=fields["told_at"],
            created_at=fields["created_at"],
            version=document.version,
        )


@dataclass(frozen=True)
class NewChannel:
    """A channel that is to be made."""

    id: str
    tenant: str | None
    owner: str
    name: str
    shown: str
    sealed: SealedSecrets | None = field(repr=False)
    webhook: str | None
    least: Severity


def new_channel(new: NewChannel) -> Create:
    return Create(
        channel_path(new.id),
        {
            "tenant": new.tenant,
            "owner": new.owner,
            "name": new.name,
            "shown": new.shown,
            "sealed": vars(new.sealed) if new.sealed is not None else None,
            "webhook": new.webhook,
            "least": new.least.value,
            "failures": 0,
            "failing_since": None,
            "error": None,
            "told_at": None,
            "created_at": SERVER_TIME,
        },
    )


def channel_told(channel: Channel, now: datetime) -> Update:
    """It has taken what it was told."""
    fields: Mapping[str, Any] = {"failures": 0, "failing_since": None, "error": None, "told_at": now}
    return Update(channel_path(channel.id), fields)


def channel_failed(channel: Channel, error: str, now: datetime) -> Update:
    """It has not."""
    fields = {"failures": channel.failures + 1, "failing_since": channel.failing_since or now, "error": error}
    return Update(channel_path(channel.id), fields)


def remove_channel(channel: Channel) -> Delete:
    return Delete(channel_path(channel.id))


def channels_of(tenant: str | None) -> Query:
    """An owner's channels."""
    return Query(ALERT_CHANNELS, (Where("tenant", "==", tenant),), limit=CHANNELS_OF_OWNER_MAX + 1)


def all_channels() -> Query:
    return Query(ALERT_CHANNELS, limit=CHANNELS_MAX)
