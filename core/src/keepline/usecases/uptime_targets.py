"""What is watched, as operators see and steer it: targets with their figures, their days and their outages."""

from __future__ import annotations

import asyncio
import re
from base64 import b32encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from keepline.domain.errors import InvalidInput, LimitReached, NotFound, StateConflict, Unavailable
from keepline.domain.recovery import Recovery
from keepline.domain.uptime_counts import DayCounts
from keepline.domain.uptime_ledger import (
    Budget,
    Figures,
    Ledger,
    Span,
    budget,
    day_span,
    figures,
    last_days,
    longest_outage_s,
    mean_repair_s,
    month_span,
)
from keepline.domain.webhook_settings import check_headers, check_url
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.records import recoveries, uptime, uptime_runs
from keepline.records.uptime import TARGETS_MAX, HttpCheck, Outage, Settings, Target
from keepline.records.uptime_runs import Run
from keepline.usecases.session_chain import Entropy
from keepline.usecases.uptime_headers import HeaderSealer
from keepline.usecases.webhook_sealing import SecretsUnreadable

# However many ask, Firestore is asked once in this time for the record of all outages.
LOOK_EVERY_S = 5.0
DAYS_SHOWN = 90
INCIDENTS_SHOWN = 100
# A run writes how long it has watched at its end. What is older than a run and the gap that is let pass is not watched.
WATCHED_LATELY = timedelta(seconds=90)
PERIOD_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": DAYS_SHOWN}
METHODS = ("GET", "HEAD", "POST")
SLO_MIN, SLO_MAX = 0.5, 0.99999
_ID_BYTES = 10
_TARGET_ID = re.compile(r"[a-z0-9_-]{1,80}")
_TRIES_MAX = 5


@dataclass(frozen=True)
class Wanted:
    """What is to be watched, as its operator says it."""

    name: str
    url: str
    method: str
    expected_status: tuple[int, ...]
    text: str | None
    headers: Mapping[str, str] = field(repr=False)
    settings: Settings


@dataclass(frozen=True)
class Changes:
    """What is to be different. None: stays as it is; `no_text`: any body will do again.

    `settings` by name; None for one of them goes back to what it is without being said.
    """

    name: str | None = None
    url: str | None = None
    method: str | None = None
    expected_status: tuple[int, ...] | None = None
    text: str | None = None
    no_text: bool = False
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    settings: Mapping[str, Any] | None = None
    enabled: bool | None = None


@dataclass(frozen=True)
class TargetView:
    """A target with its figures by period, as of now."""

    target: Target
    periods: Mapping[str, Figures]
    budget: Budget


@dataclass(frozen=True)
class DayView:
    """A UTC day of a target."""

    day: date
    figures: Figures
    counts: DayCounts


@dataclass(frozen=True)
class TargetStory:
    """All that is on record of a target: 90 days and their months, the oldest first; outages and recoveries, the newest first."""

    at: datetime
    view: TargetView
    longest_outage_s: float | None
    mean_repair_s: float | None
    days: Sequence[DayView]
    months: Sequence[tuple[date, Figures]]
    outages: Sequence[Outage]
    recoveries: Sequence[Recovery]


@dataclass(frozen=True)
class UptimeView:
    """All targets, and until when somebody watched."""

    at: datetime
    watched_until: datetime | None
    targets: Sequence[TargetView]


@dataclass(frozen=True)
class _Record:
    """Outages and gaps of all targets in the last 90 days."""

    outages: Mapping[str, list[Outage]]
    gaps: Mapping[str, list[Span]]


class UptimeTargets:
    """Lives in one event loop. `private_allowed`: targets may have addresses that are not public."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        entropy: Entropy,
        headers: HeaderSealer,
        *,
        private_allowed: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._headers = headers
        self._private_allowed = private_allowed
        self._lock = asyncio.Lock()
        self._looked: tuple[float, _Record] | None = None

    async def look_at_all(self) -> UptimeView:
        """Ours first, then by name."""
        record, documents, run = await asyncio.gather(
            self._record(), self._store.query(uptime.all_targets()), self._store.get(uptime_runs.PATH)
        )
        now = self._clock.now()
        targets = sorted(map(Target.read, documents), key=lambda one: (one.kind == uptime.URL, one.name, one.id))
        watched_until = Run.read(run).watched_until if run is not None else None
        return UptimeView(now, watched_until, [_view(target, record, now) for target in targets])

    async def look(self, target_id: str) -> TargetView:
        """Raises NotFound (`target_not_found`)."""
        record, target = await asyncio.gather(self._record(), self._target(target_id))
        return _view(target, record, self._clock.now())

    async def story(self, target_id: str) -> TargetStory:
        """Raises NotFound (`target_not_found`)."""
        target = await self._target(target_id)
        documents, found, gaps, recovered = await asyncio.gather(
            self._store.query(uptime.days_of(target.id)),
            self._store.query(uptime.newest_outages_of(target.id)),
            self._store.query(uptime.newest_gaps_of(target.id)),
            self._store.query(recoveries.newest_recoveries(target.id)),
        )
        now = self._clock.now()
        record = _Record(
            {target.id: [Outage.read(document) for document in found]},
            {target.id: [uptime.read_gap(document)[1] for document in gaps]},
        )
        ledger = _ledger(target, record, now)
        counts = {found.day: found for found in (uptime.read_counts(one.fields) for one in documents)}
        counts[target.today.day] = target.today
        today = now.astimezone(UTC).date()
        days = [today - timedelta(days=ago) for ago in range(DAYS_SHOWN - 1, -1, -1)]
        months = sorted({day.replace(day=1) for day in days})
        return TargetStory(
            now,
            _view(target, record, now),
            longest_outage_s(ledger),
            mean_repair_s(ledger),
            [DayView(day, figures(ledger, day_span(day)), counts.get(day, DayCounts(day))) for day in days],
            [(month, figures(ledger, month_span(month))) for month in months],
            record.outages[target.id][:INCIDENTS_SHOWN],
            [recoveries.read_recovery(document) for document in recovered],
        )

    async def add(self, wanted: Wanted) -> TargetView:
        """A target by URL. Its first check comes within a minute.

        Raises InvalidInput (`bad_target_url`, `target_url_not_allowed`, `bad_header`, `bad_pace`, `bad_target`), LimitReached
        (`target_limit_reached`), and StateConflict and Unavailable where its headers cannot be sealed.
        """
        check = self._checked(
            HttpCheck(wanted.url, wanted.method, wanted.expected_status, wanted.text, tuple(wanted.headers))
        )
        headers = check_headers(wanted.headers)
        _check_settings(wanted.settings)
        count = await self._store.count(uptime.all_targets())
        if count >= TARGETS_MAX:
            raise LimitReached(
                "target_limit_reached",
                f"{count} targets are watched, and {TARGETS_MAX} is the limit.",
                "Delete one that is not needed.",
                limit=TARGETS_MAX,
                used=count,
            )
        target = f"u_{b32encode(self._entropy(_ID_BYTES)).decode().lower().rstrip('=')}"
        secrets = await self._headers.seal(target, check.url, headers)
        new = uptime.new_target(
            target,
            self._clock.now(),
            name=wanted.name,
            kind=uptime.URL,
            settings=wanted.settings,
            check=check,
            secrets=secrets,
        )
        # 80 random bits meet nothing but themselves: it is our own commit, whose answer was lost.
        with suppress(StoreConflict):
            await self._store.commit([new])
        return await self.look(target)

    async def change(self, target_id: str, changes: Changes) -> TargetView:
        """What is checked otherwise is so from the next run on. Raises what `add` does, NotFound (`target_not_found`),
        StateConflict (`target_is_ours`) for what is not to be changed of ours, and Unavailable (`busy`)."""
        for _ in range(_TRIES_MAX):
            target = await self._target(target_id)
            fields = await self._changed_fields(target, changes)
            if not fields:
                break
            try:
                await self._store.commit([uptime.changed_settings(target, fields)])
                break
            except StoreConflict:
                continue
        else:
            raise _busy()
        return await self.look(target_id)

    async def remove(self, target_id: str) -> None:
        """What is on record of it goes with time. Raises NotFound, StateConflict (`target_is_ours`) and Unavailable (`busy`)."""
        for _ in range(_TRIES_MAX):
            target = await self._target(target_id)
            if target.kind != uptime.URL:
                raise _is_ours("Switch its watching off with PATCH and enabled false.")
            over = [uptime.outage_over(target.id, target.outage, self._clock.now())] if target.outage else []
            try:
                await self._store.commit([uptime.removed(target), *over])
                return
            except StoreConflict:
                continue
        raise _busy()

    async def _changed_fields(self, target: Target, changes: Changes) -> dict[str, object]:
        fields: dict[str, object] = {}
        if changes.name is not None:
            fields["name"] = changes.name
        if changes.enabled is not None:
            fields["enabled"] = changes.enabled
        if changes.settings is not None:
            settings = settings_of({**target.settings.as_fields(), **changes.settings})
            _check_settings(settings)
            fields["settings"] = settings.as_fields()
        asked = (changes.url, changes.method, changes.expected_status, changes.text, changes.headers)
        if all(one is None for one in asked) and not changes.no_text:
            return fields
        if target.check is None:
            raise _is_ours("How it is asked is not to be changed; its name, its settings and `enabled` are.")
        headers = changes.headers
        if headers is None and changes.url is not None:
            # They are sealed for the address that they were given for.
            try:
                headers = await self._headers.open(target.id, target.check.url, target.secrets)
            except SecretsUnreadable as error:
                raise StateConflict(
                    "secrets_unreadable",
                    "The target's headers were changed in the store, or sealed with another key.",
                    "Give the headers anew.",
                ) from error
        names = target.check.headers if headers is None else tuple(check_headers(headers))
        check = self._checked(
            HttpCheck(
                changes.url or target.check.url,
                changes.method or target.check.method,
                changes.expected_status or target.check.expected_status,
                None if changes.no_text else changes.text or target.check.text,
                names,
            )
        )
        fields["check"] = check.as_fields()
        if headers is not None:
            secrets = await self._headers.seal(target.id, check.url, headers)
            fields["secrets"] = vars(secrets) if secrets else None
        return fields

    def _checked(self, check: HttpCheck) -> HttpCheck:
        try:
            check_url(check.url, private_allowed=self._private_allowed)
        except InvalidInput as error:
            if error.code == "webhook_url_not_allowed":
                raise InvalidInput(
                    "target_url_not_allowed",
                    "The target's address is a private one, and this installation asks nothing there.",
                    "Use a public address; or allow private ones with KEEPLINE_PRIVATE_ADDRESSES.",
                ) from None
            raise InvalidInput(
                "bad_target_url",
                "The target's address cannot be used.",
                "Write it like https://host/path, in ASCII, without a name, a password or a fragment.",
            ) from None
        if check.method == "HEAD" and check.text is not None:
            raise InvalidInput("bad_target", "An answer to HEAD has no body to look for a text in.", "Use GET.")
        return check

    async def _target(self, target_id: str) -> Target:
        document = await self._store.get(uptime.target_path(target_id)) if _TARGET_ID.fullmatch(target_id) else None
        if document is None:
            raise NotFound("target_not_found", "There is no such target.", "GET /api/uptime lists what is watched.")
        return Target.read(document)

    async def _record(self) -> _Record:
        async with self._lock:
            now_s = self._clock.monotonic_s()
            if self._looked is None or now_s - self._looked[0] > LOOK_EVERY_S:
                self._looked = (now_s, await self._read_record())
            return self._looked[1]

    async def _read_record(self) -> _Record:
        since = self._clock.now() - timedelta(days=DAYS_SHOWN + 1)
        ended, open_now, gone = await asyncio.gather(
            self._store.query(uptime.outages_ended_since(since)),
            self._store.query(uptime.open_outages()),
            self._store.query(uptime.gaps_ended_since(since)),
        )
        outages: dict[str, list[Outage]] = {}
        # One that ended between the two queries is in both.
        for outage in {document.path: Outage.read(document) for document in [*open_now, *ended]}.values():
            outages.setdefault(outage.target, []).append(outage)
        gaps: dict[str, list[Span]] = {}
        for target, gap in map(uptime.read_gap, gone):
            gaps.setdefault(target, []).append(gap)
        return _Record(outages, gaps)


def settings_of(named: Mapping[str, Any]) -> Settings:
    """Settings from what is said of them. None says nothing."""
    usual = Settings()
    said = {name: value for name, value in named.items() if value is not None}
    return Settings.read({"preset": usual.preset, "slo": usual.slo} | said)


def _view(target: Target, record: _Record, now: datetime) -> TargetView:
    ledger = _ledger(target, record, now)
    periods = {name: figures(ledger, last_days(now, days)) for name, days in PERIOD_DAYS.items()}
    return TargetView(target, periods, budget(ledger, target.settings.slo))


def _ledger(target: Target, record: _Record, now: datetime) -> Ledger:
    gaps = list(record.gaps.get(target.id, []))
    if now - target.watched_until > WATCHED_LATELY:
        gaps.append(Span(target.watched_until, now))
    return Ledger(target.created_at, now, _spans(record.outages.get(target.id, []), now), gaps)


def _spans(outages: Iterable[Outage], now: datetime) -> list[Span]:
    return [Span(outage.began_at, outage.ended_at or now) for outage in outages]


def _check_settings(settings: Settings) -> None:
    _ = settings.pace
    if not SLO_MIN <= settings.slo <= SLO_MAX:
        raise InvalidInput("bad_pace", "slo is out of its bounds.", f"Give a share from {SLO_MIN} to {SLO_MAX}.")


def _is_ours(hint: str) -> StateConflict:
    return StateConflict("target_is_ours", "This is a part of Keepline, which is watched by itself.", hint)


def _busy() -> Unavailable:
    return Unavailable("busy", "The target is being changed by others at this moment.", "Try again in a second.")
