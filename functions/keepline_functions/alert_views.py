"""Events, alerts and channels as JSON. Of a channel's address only its way is shown."""

from __future__ import annotations

from keepline.domain.alert_rules import THRESHOLDS
from keepline.domain.alerts import Alert
from keepline.domain.events import Severity
from keepline.ports.notifying import Telling
from keepline.records.alerts import AlertSettings, Channel
from keepline.records.monitoring import Event
from keepline_functions.alert_answers import AlertJson, AlertSettingsJson, ChannelJson, ChannelTestJson, EventJson
from keepline_functions.views import rfc3339


def event_json(event: Event) -> EventJson:
    """Something that happened."""
    return {
        "event_id": event.id,
        "kind": event.kind,
        "at": rfc3339(event.at),
        "severity": Severity(event.severity),
        "user_id": event.tenant,
        "session_id": event.session_id,
        "subject": event.subject,
        "code": event.code,
        "sentence": event.sentence,
        "next_step": event.next_step,
        "details": dict(event.details),
    }


def alert_json(alert: Alert) -> AlertJson:
    """An alert, to whoever asks and to webhooks."""
    condition = alert.condition
    return {
        "alert_id": alert.id,
        "rule": condition.rule,
        "subject": condition.subject,
        "user_id": condition.tenant,
        "session_id": condition.session_id,
        "severity": alert.severity,
        "state": alert.state,
        "code": condition.rule.value,
        "sentence": condition.sentence,
        "next_step": condition.next_step,
        "details": dict(condition.details),
        "opened_at": rfc3339(alert.opened_at),
        "last_seen_at": rfc3339(alert.last_seen_at),
        "closed_at": rfc3339(alert.closed_at) if alert.closed_at else None,
        "count": alert.count,
        "acknowledged_at": rfc3339(alert.acknowledged_at) if alert.acknowledged_at else None,
        "acknowledged_by": alert.acknowledged_by,
    }


def settings_json(settings: AlertSettings) -> AlertSettingsJson:
    """Every threshold with what it may be, and the quiet hours."""
    quiet = settings.quiet_hours
    return {
        "thresholds": {
            name: {
                "value": settings.thresholds[name],
                "usual": bounds.usual,
                "least": bounds.least,
                "most": bounds.most,
            }
            for name, bounds in THRESHOLDS.items()
        },
        "quiet_hours": {"begins": quiet.begins, "ends": quiet.ends, "time_zone": quiet.time_zone} if quiet else None,
    }


def channel_json(channel: Channel) -> ChannelJson:
    """A channel and how it fares."""
    return {
        "channel_id": channel.id,
        "name": channel.name,
        "kind": "webhook" if channel.webhook is not None else "address",
        "shown": channel.shown,
        "webhook_id": channel.webhook,
        "least": channel.least,
        "state": "failing" if channel.failures else "good",
        "failures": channel.failures,
        "failing_since": rfc3339(channel.failing_since) if channel.failing_since else None,
        "error": channel.error,
        "told_at": rfc3339(channel.told_at) if channel.told_at else None,
        "created_at": rfc3339(channel.created_at),
    }


def test_json(telling: Telling) -> ChannelTestJson:
    """What became of a test."""
    return {"told": telling.error is None, "error": telling.error, "duration_ms": telling.duration_ms}
