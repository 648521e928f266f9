"""The round of alerts: what holds is compared with what is open; alerts are opened, renewed and closed, and channels told.

Everything here may run twice, late, or beside itself: an alert's id counts its condition's alerts, and every change has a
precondition, so of two rounds at the same time one does it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping

from keepline.domain.alert_rules import RULES, Condition
from keepline.domain.alerts import Alert, AlertState, turn
from keepline.domain.events import EventKind
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, Put, StoreConflict
from keepline.records import alerts, monitoring
from keepline.records.alerts import AlertSettings, Channel, KeptAlert
from keepline.usecases.alert_facts import FactFinder
from keepline.usecases.alert_telling import AlertTeller

# Of one process, when something critical happens: a round just before has seen it, or the next minute's will.
HURRIED_EVERY_S = 10.0

log = logging.getLogger(__name__)


class AlertRound:
    """The round that is made every minute, and at once when something critical has happened. Lives in one event loop."""

    def __init__(self, store: DocumentStore, clock: Clock, teller: AlertTeller) -> None:
        self._store = store
        self._clock = clock
        self._teller = teller
        self._facts = FactFinder(store)
        self._began_s: float | None = None

    async def hurry(self) -> None:
        """Make a round unless one has just begun. Raises StoreUnavailable."""
        now_s = self._clock.monotonic_s()
        if self._began_s is None or now_s - self._began_s >= HURRIED_EVERY_S:
            await self.make()

    async def make(self) -> None:
        """Raises StoreUnavailable; what was done until then stays done."""
        self._began_s = self._clock.monotonic_s()
        settings = await self._settings()
        channels = [Channel.read(document) for document in await self._store.query(alerts.all_channels())]
        await self._judge(settings, channels)
        await self._teller.tell_all(channels, {tenant: one.quiet_hours for tenant, one in settings.items()})

    async def _settings(self) -> Mapping[str | None, AlertSettings]:
        found = {}
        for document in await self._store.query(alerts.all_settings()):
            tenant = document.fields["tenant"]
            found[tenant] = AlertSettings.read(tenant, document)
        return found

    async def _judge(self, settings: Mapping[str | None, AlertSettings], channels: list[Channel]) -> None:
        now = self._clock.now()
        facts = await self._facts.find(settings, channels, now)
        kept = [KeptAlert.read(document) for document in await self._store.query(alerts.open_alerts())]
        versions = {one.alert.id: one.version for one in kept}
        then = turn((one.alert for one in kept), facts.conditions, facts.latched.ended, now)
        for condition in then.opening:
            await self._open(condition)
        for alert in then.changed:
            with contextlib.suppress(StoreConflict):  # A round beside this one was first, or somebody acknowledges it.
                await self._store.commit([alerts.changed_alert(alert, versions[alert.id])])
        for alert in then.closed:
            # If it is refused the next round closes it.
            with contextlib.suppress(StoreConflict):
                closing = alerts.changed_alert(alert, versions[alert.id])
                await self._store.commit([closing, _event(EventKind.ALERT_CLOSED, alert)])
                log.info("the alert %s is over", alert.id)

    async def _open(self, condition: Condition) -> None:
        key, now = alerts.key_of(condition), self._clock.now()
        newest = [KeptAlert.read(document).alert for document in await self._store.query(alerts.newest_of_key(key))]
        if newest and newest[0].state is AlertState.OPEN:
            return  # A round beside this one has opened it since we looked at what is open.
        number = newest[0].number + 1 if newest else 1
        alert = Alert(key, number, condition, RULES[condition.rule].severity, now, now)
        # Refused: a round beside this one has opened it.
        with contextlib.suppress(StoreConflict):
            await self._store.commit([alerts.new_alert(alert), _event(EventKind.ALERT_OPENED, alert)])
            log.warning("alert %s: %s", alert.id, condition.sentence)


def _event(kind: EventKind, alert: Alert) -> Put:
    condition = alert.condition
    account = condition.subject if condition.session_id is not None else None
    return monitoring.event(
        kind,
        alert.id,
        at=alert.closed_at or alert.opened_at,
        subject=condition.subject,
        tenant=condition.tenant,
        account=account,
        session_id=condition.session_id,
        details={"alert_id": alert.id, "rule": condition.rule.value, "sentence": condition.sentence},
    )
