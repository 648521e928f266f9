"""Every Cloud Function of Keepline. `infra/functions.json` says what sets each of them off.

Nothing is made at import: the first call of each process makes what it needs (keepline_functions/bootstrap.py).
"""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent
from flask import Request, Response

from keepline_functions import entry


@functions_framework.http
def api(request: Request) -> Response:
    """The HTTP API: sessions, QR codes, messages, health."""
    return entry.http(request)


@functions_framework.cloud_event
def on_account_written(event: CloudEvent) -> None:
    """Firestore, `accounts/{account}` written: a change of state goes on record, and to webhooks."""
    entry.account_written(event)


@functions_framework.cloud_event
def on_outbox_written(event: CloudEvent) -> None:
    """Firestore, `outbox/{message}` written: what became of a message of the API goes on record, and to webhooks."""
    entry.outbox_written(event)


@functions_framework.cloud_event
def on_message_written(event: CloudEvent) -> None:
    """Firestore, `accounts/{account}/chats/{chat}/messages/{message}` written: what WhatsApp brought is told to webhooks."""
    entry.message_written(event)


@functions_framework.cloud_event
def on_notice_written(event: CloudEvent) -> None:
    """Firestore, `accounts/{account}/notices/{notice}` created: a change of a group, or a call, is told to webhooks."""
    entry.notice_written(event)


@functions_framework.cloud_event
def on_webhook_due(event: CloudEvent) -> None:
    """Pub/Sub, `webhook-deliveries`: what a lane of a webhook has waiting is delivered."""
    entry.webhook_due(event)


@functions_framework.cloud_event
def on_minute(event: CloudEvent) -> None:
    """Pub/Sub, every minute: silent connectors are noticed, leftovers cleared, webhooks tried again."""
    entry.minute(event)


@functions_framework.cloud_event
def on_report_hour(event: CloudEvent) -> None:
    """Pub/Sub, every hour: the days that have ended are reported on."""
    entry.report_hour(event)


@functions_framework.cloud_event
def on_uptime_minute(event: CloudEvent) -> None:
    """Pub/Sub, every minute: all that is watched is looked after until the next minute's run."""
    entry.uptime_minute(event)
