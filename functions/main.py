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
    """Firestore, `accounts/{account}` written: a change of state goes on record."""
    entry.account_written(event)


@functions_framework.cloud_event
def on_minute(event: CloudEvent) -> None:
    """Pub/Sub, every minute: silent connectors are noticed and leftovers cleared."""
    entry.minute(event)
