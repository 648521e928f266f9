"""What a request can use, made once per process and reached through the Flask app."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import current_app

from keepline.adapters.media_folder import MediaFolder
from keepline.ports.documents import DocumentStore
from keepline.usecases.access import Access
from keepline.usecases.alerts import Alerts, EventLog
from keepline.usecases.allowances import Allowances
from keepline.usecases.api_keys import ApiKeys
from keepline.usecases.asking_to_reconnect import ReconnectRequests
from keepline.usecases.chats import Chats
from keepline.usecases.connector_list import ConnectorList
from keepline.usecases.contacts import Contacts
from keepline.usecases.diagnosing import Diagnosing
from keepline.usecases.fleet import Fleet
from keepline.usecases.groups import Groups
from keepline.usecases.linking import Linking
from keepline.usecases.live_events import LiveEvents
from keepline.usecases.media import MediaDesk
from keepline.usecases.message_lists import MessageLists
from keepline.usecases.messages import Messages
from keepline.usecases.pairing_codes import PairingCodes
from keepline.usecases.report_reading import Reports
from keepline.usecases.session_settings import SessionSettings
from keepline.usecases.sessions import Sessions
from keepline.usecases.uptime_targets import UptimeTargets
from keepline.usecases.webhooks import Webhooks
from keepline_functions.loop import BackgroundLoop
from keepline_functions.metrics import Metrics
from keepline_functions.store_health import StoreHealth

EXTENSION = "keepline"
# Firestore's own calls give up after 10 s; this one ends whatever does not.
CALL_TIMEOUT_S = 15.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Services:
    """The use cases and the loop that they live in."""

    loop: BackgroundLoop
    store: DocumentStore
    access: Access
    api_keys: ApiKeys
    sessions: Sessions
    session_settings: SessionSettings
    linking: Linking
    pairing_codes: PairingCodes
    messages: Messages
    media: MediaDesk
    media_folder: MediaFolder | None  # whose links lead here; Cloud Storage answers its own
    message_lists: MessageLists
    chats: Chats
    groups: Groups
    contacts: Contacts
    webhooks: Webhooks
    live_events: LiveEvents
    event_log: EventLog
    alerts: Alerts
    diagnosing: Diagnosing
    allowances: Allowances
    connector_list: ConnectorList
    reconnect_requests: ReconnectRequests
    reports: Reports
    fleet: Fleet
    uptime: UptimeTargets
    store_health: StoreHealth
    metrics: Metrics
    metrics_token: str | None = field(repr=False)
    traced: bool = False  # somebody collects traces

    def run(self, coroutine: Coroutine[Any, Any, _T], timeout_s: float = CALL_TIMEOUT_S) -> _T:
        """The result of a use case."""
        return self.loop.run(coroutine, timeout_s)


def services() -> Services:
    """Those of the app that answers the present request."""
    found: Services = current_app.extensions[EXTENSION]
    return found
