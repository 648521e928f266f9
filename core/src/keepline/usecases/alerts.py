"""Alerts as people have them: looked at, acknowledged, their thresholds, quiet hours and channels.

`tenant` is None for the installation's, which are its operators' matter.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from keepline.domain.alert_channels import bad_channel_url, check_channel_url, shown
from keepline.domain.alert_rules import THRESHOLDS, Thresholds
from keepline.domain.alerts import Alert, AlertState
from keepline.domain.errors import InvalidInput, LimitReached, NotFound, Unavailable
from keepline.domain.events import EventKind, Severity
from keepline.domain.ids import is_own_id
from keepline.domain.quiet_hours import QuietHours
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.ports.notifying import Notifier, Telling
from keepline.records import alerts, monitoring, webhooks
from keepline.records.alerts import CHANNELS_OF_OWNER_MAX, AlertSettings, Channel, KeptAlert, NewChannel
from keepline.records.monitoring import Event
from keepline.records.webhooks import SealedSecrets, Webhook
from keepline.usecases.access import Caller
from keepline.usecases.alert_telling import AlertTeller
from keepline.usecases.channel_sealing import ChannelSealer
from keepline.usecases.session_chain import Entropy
from keepline.usecases.sessions import own_account
from keepline.usecases.webhooks import webhook_not_found

LISTED_MAX = 200
TRIES_MAX = 10


@dataclass(frozen=True)
class Asked:
    """Which events somebody wants to see."""

    everybody: bool
    kind: EventKind | None
    session_id: str | None
    since: datetime | None
    before: datetime | None
    limit: int


@dataclass(frozen=True)
class WantedChannel:
    """A new channel, as its owner asks for it: with an address or a webhook."""

    name: str
    url: str | None = field(repr=False)
    webhook: str | None
    least: Severity


@dataclass(frozen=True)
class QuietChoice:
    """Quiet hours, or none any more."""

    hours: QuietHours | None


class EventLog:
    """What happened, for whoever may know."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def look(self, caller: Caller, asked: Asked) -> tuple[list[Event], datetime | None]:
        """The newest first, and what the next page is asked for with. Raises as `own_account` does.

        A key for some sessions sees events of these only: pages of it can be shorter.
        """
        account = None
        if asked.session_id is not None:
            account = (await own_account(self._store, caller.tenant, asked.session_id)).id
        tenant = None if asked.everybody else caller.tenant
        query = monitoring.newest_events(tenant, account, asked.kind, asked.since, asked.before, asked.limit)
        found = [Event.read(document) for document in await self._store.query(query)]
        next_before = found[-1].at if len(found) == asked.limit else None
        return [event for event in found if caller.sessions is None or caller.may_touch(event.session_id)], next_before


class Alerts:
    """The alerts of all tenants and of the installation. Those of another owner are not there."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        entropy: Entropy,
        sealer: ChannelSealer,
        notifier: Notifier,
        teller: AlertTeller,
        *,
        private_allowed: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._sealer = sealer
        self._notifier = notifier
        self._teller = teller
        self._private_allowed = private_allowed

    async def of_owner(
        self, tenant: str | None, state: AlertState | None, before: datetime | None, limit: int
    ) -> tuple[list[Alert], datetime | None]:
        """The newest first, and what the next page is asked for with."""
        query = alerts.alerts_of(tenant, state.value if state is not None else None, before, limit)
        found = [KeptAlert.read(document).alert for document in await self._store.query(query)]
        return found, found[-1].opened_at if len(found) == limit else None

    async def look(self, tenant: str | None, alert: str) -> KeptAlert:
        """Raises NotFound (`alert_not_found`)."""
        document = await self._store.get(alerts.alert_path(alert)) if is_own_id(alert) else None
        if document is None or document.fields["tenant"] != tenant:
            raise alert_not_found()
        return KeptAlert.read(document)

    async def acknowledge(self, tenant: str | None, alert: str, by: str) -> Alert:
        """Somebody looks after it: nobody is reminded of it any more. Raises as `look` does, and Unavailable (`busy`)."""
        for _ in range(TRIES_MAX):
            kept = await self.look(tenant, alert)
            if kept.alert.acknowledged_at is not None:
                return kept.alert
            after = replace(kept.alert, acknowledged_at=self._clock.now(), acknowledged_by=by)
            try:
                await self._store.commit([alerts.changed_alert(after, kept.version)])
            except StoreConflict:
                continue
            return after
        raise _busy()

    async def settings(self, tenant: str | None) -> AlertSettings:
        return AlertSettings.read(tenant, await self._store.get(alerts.settings_path(tenant)))

    async def change_settings(
        self, tenant: str | None, thresholds: Mapping[str, float | None], quiet: QuietChoice | None
    ) -> AlertSettings:
        """What is not named stays; None is the usual one again. Raises InvalidInput (`bad_threshold`)."""
        for name, value in thresholds.items():
            bounds = THRESHOLDS.get(name)
            if bounds is None or (value is not None and not bounds.least <= value <= bounds.most):
                raise _bad_threshold(name)
        before = await self.settings(tenant)
        chosen = {**before.thresholds.chosen, **thresholds}
        after = replace(
            before,
            thresholds=Thresholds({name: value for name, value in chosen.items() if value is not None}),
            quiet_hours=quiet.hours if quiet is not None else before.quiet_hours,
        )
        await self._store.commit([after.write()])
        return after

    async def channels(self, tenant: str | None) -> list[Channel]:
        """The oldest first."""
        documents = await self._store.query(alerts.channels_of(tenant))
        return sorted(map(Channel.read, documents), key=lambda channel: (channel.created_at, channel.id))

    async def add_channel(self, tenant: str | None, owner: str, wanted: WantedChannel) -> Channel:
        """`owner` makes it. Raises InvalidInput (`bad_channel_url`, `channel_url_not_allowed`), NotFound (`webhook_not_found`),
        LimitReached (`channel_limit`), and what sealing does.
        """
        used = len(await self.channels(tenant))
        if used >= CHANNELS_OF_OWNER_MAX:
            raise _limit_reached(used)
        channel = "ch" + b32encode(self._entropy(10)).decode().lower()
        sealed: SealedSecrets | None = None
        if wanted.url is not None:
            url = check_channel_url(wanted.url, private_allowed=self._private_allowed)
            if not await self._notifier.knows(url):
                raise bad_channel_url()
            sealed, seen = await self._sealer.seal(owner, channel, url), shown(url)
        else:
            seen = f"webhook {await self._own_webhook(owner, wanted.webhook)}"
        new = NewChannel(channel, tenant, owner, wanted.name, seen, sealed, wanted.webhook, wanted.least)
        await self._store.commit([alerts.new_channel(new)])
        return await self.channel(tenant, channel)

    async def channel(self, tenant: str | None, channel: str) -> Channel:
        """Raises NotFound (`channel_not_found`)."""
        document = await self._store.get(alerts.channel_path(channel)) if is_own_id(channel) else None
        if document is None or document.fields["tenant"] != tenant:
            raise NotFound(
                "channel_not_found", "There is no such channel of alerts.", "GET /api/alerts/channels lists them."
            )
        return Channel.read(document)

    async def remove_channel(self, tenant: str | None, channel: str) -> None:
        """It is told nothing more. Raises as `channel` does."""
        await self._store.commit([alerts.remove_channel(await self.channel(tenant, channel))])

    async def test_channel(self, tenant: str | None, channel: str) -> Telling:
        """Tell it now that it is being tried out. Raises as `channel` does."""
        return await self._teller.test(await self.channel(tenant, channel))

    async def _own_webhook(self, owner: str, webhook: str | None) -> str:
        document = await self._store.get(webhooks.webhook_path(webhook)) if webhook and is_own_id(webhook) else None
        if document is None or Webhook.read(document).tenant != owner:
            raise webhook_not_found()
        return document.id


def alert_not_found() -> NotFound:
    """The answer for what is not there, and for what is somebody else's."""
    return NotFound(
        "alert_not_found", "There is no such alert.", "GET /api/alerts lists them; closed ones stay 90 days."
    )


def _bad_threshold(name: str) -> InvalidInput:
    allowed = "; ".join(f"{one} from {bounds.least:g} to {bounds.most:g}" for one, bounds in THRESHOLDS.items())
    return InvalidInput("bad_threshold", f"{name[:40]!r} cannot be set so.", f"The thresholds are: {allowed}.")


def _limit_reached(used: int) -> LimitReached:
    return LimitReached(
        "channel_limit",
        f"There is room for {CHANNELS_OF_OWNER_MAX} channels of alerts, and all of it is taken.",
        "Delete one that is not needed any more.",
        limit=CHANNELS_OF_OWNER_MAX,
        used=used,
    )


def _busy() -> Unavailable:
    return Unavailable("busy", "The alert is being changed by others at this moment.", "Try again in a second.")
