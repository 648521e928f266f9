"""Limits on what a user may do, across all function instances: what is used is written in the commit that it guards.

An instance remembers what it wrote last and at which version, so a use costs one write and no read while nobody else writes the
same document. Uses of one document wait for each other inside an instance; between instances the document's version decides.
See ADR 22.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from keepline.domain.errors import NotReady, TooMany, Unavailable
from keepline.domain.rate_limits import Limit, Verdict, ask, state_of, wait_s
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Version, Write
from keepline.records import monitoring, rate_limits

# What a user may do unless `tenants/{tenant}` says otherwise. Messages: one a second, thirty at once.
MESSAGES = Limit("messages", 60, 60.0, 30)
SESSIONS = Limit("sessions", 10, 60.0, 10)
CODES = Limit("codes", 5, 300.0, 5)  # new rounds of QR codes, and pairing codes
RECONNECTS = Limit("reconnects", 5, 300.0, 5)
# Uploaded, fetched from an address, or converted. As many as messages, so that who sends files meets that limit first; and a
# limit of its own, because it is used before the work is done, and that of messages when a message is accepted.
FILES = Limit("files", 60, 60.0, 30)
# Numbers that WhatsApp is asked about: many look-ups are how spammers find people, and get a number banned. No figure is known.
LOOKUPS = Limit("lookups", 200, 3600.0, 50, uses_max=50)
GROUP_CHANGES = Limit("groups", 60, 3600.0, 10)
QUESTIONS = Limit("questions", 60, 60.0, 30)  # to WhatsApp, about groups
LIMITS = (MESSAGES, FILES, SESSIONS, CODES, RECONNECTS, LOOKUPS, GROUP_CHANGES, QUESTIONS)

# A tenant's own limits are read again after this long.
OWN_LIMITS_S = 60.0
REMEMBERED_MAX = 10_000
_TRIES_MAX = 8
_COUNT_MAX = 1_000_000
_PERIOD_S_MAX = 86_400.0

_T = TypeVar("_T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Charged:
    """What a limit looks like after a use, after one that was refused, or between uses."""

    limit: Limit
    verdict: Verdict


@dataclass
class _Shard:
    """One document, as this instance knows it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    known: bool = False
    whole_at: datetime | None = None
    version: Version | None = None


class RateLimited(TooMany):
    """`rate_limited`, with what the headers say."""

    def __init__(self, charged: Charged) -> None:
        limit, seconds = charged.limit, max(1, math.ceil(charged.verdict.retry_after_s))
        super().__init__(
            "rate_limited",
            f"That was too often: the limit of '{limit.name}' is {limit.count} in {limit.period_s:g} s, {limit.burst} at once.",
            f"Try again in {seconds} s; the headers RateLimit and Retry-After say how much is left.",
            seconds,
        )
        self.charged = charged


class ChargedNotReady(NotReady):
    """NotReady, and a use of a limit has brought it on its way."""

    def __init__(self, code: str, message: str, hint: str, retry_after_s: int, charged: Charged | None) -> None:
        super().__init__(code, message, hint, retry_after_s)
        self.charged = charged


class Limiter:
    """The limits of all users, as this process sees them. Lives in one event loop."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._shards: OrderedDict[str, _Shard] = OrderedDict()
        self._own: OrderedDict[str, tuple[float, Mapping[str, Any]]] = OrderedDict()
        self._hits: OrderedDict[str, str] = OrderedDict()  # the minute of the last one that was noted

    async def commit(
        self, tenant: str, usual: Limit, writes: Sequence[Write], uses: int = 1
    ) -> tuple[list[Version], Charged]:
        """Commit `writes` as one use of a limit, or as so many. Returns their versions, and what is left.

        Raises RateLimited with nothing written; Unavailable (`busy`); and StoreConflict when the writes themselves are refused,
        or were applied by a try whose answer was lost: whoever asked must look.
        """
        limit = await self.limit_of(tenant, usual)
        number = self._freest(tenant, limit)
        shard = self._shard(rate_limits.limit_path(tenant, limit, number))
        async with shard.lock:
            refused: StoreConflict | None = None
            for _ in range(_TRIES_MAX):
                await self._read(shard, tenant, limit, number)
                verdict = ask(limit, number, shard.whole_at, self._clock.now(), uses)
                if not verdict.allowed:
                    # Perhaps it is our own try before that has used up the limit, and its answer was lost.
                    if refused is None:
                        await self._note_hit(tenant, limit)
                    raise refused or RateLimited(Charged(limit, verdict))
                use = rate_limits.use(tenant, limit, number, verdict.whole_at, shard.version)
                before = shard.version
                shard.known = False  # until the commit has said what became of it
                try:
                    *versions, version = await self._store.commit([*writes, use])
                except StoreConflict as conflict:
                    await self._read(shard, tenant, limit, number)
                    if shard.version == before:
                        raise  # It was the writes that were refused.
                    refused = conflict
                    continue
                shard.known, shard.whole_at, shard.version = True, verdict.whole_at, version
                return versions, Charged(limit, verdict)
        raise Unavailable("busy", "Too many requests at this moment.", "Try again in a second.")

    async def limit_of(self, tenant: str, usual: Limit) -> Limit:
        """The tenant's own limit, where its document has one that makes sense. It is up to a minute old."""
        now_s = self._clock.monotonic_s()
        read_at_s, own = self._own.get(tenant, (-math.inf, {}))
        if now_s - read_at_s > OWN_LIMITS_S:
            document = await self._store.get(rate_limits.tenant_path(tenant))
            own = rate_limits.own_limits(document) if document is not None else {}
            _remember(self._own, tenant, (now_s, own))
        mine = own.get(usual.name)
        if mine is None:
            return usual
        limit = _changed(usual, mine)
        if limit is None:
            log.warning("tenants/%s has a limit '%s' that makes no sense; the usual one holds", tenant, usual.name)
        return limit or usual

    async def look(self, tenant: str, usual: Limit) -> Charged:
        """What is left of a limit now, of all its shards together. Uses nothing."""
        limit = await self.limit_of(tenant, usual)
        paths = [rate_limits.limit_path(tenant, limit, number) for number in range(limit.shards)]
        documents = await asyncio.gather(*map(self._store.get, paths))
        moments = [document.fields["whole_at"] if document is not None else None for document in documents]
        return Charged(limit, state_of(limit, moments, self._clock.now()))

    async def _note_hit(self, tenant: str, limit: Limit) -> None:
        """Put on record that a limit was hit in this minute. Whoever goes on asking costs one write a minute and instance."""
        now = self._clock.now()
        minute = f"{now:%Y%m%dT%H%M}"
        name = f"{tenant} {limit.name}"
        if self._hits.get(name) == minute:
            return
        _remember(self._hits, name, minute)
        # Another instance has noted it; and a note is no reason for another answer.
        with contextlib.suppress(StoreConflict, StoreUnavailable):
            await self._store.commit([monitoring.limit_reached(tenant, limit.name, now)])

    def _freest(self, tenant: str, limit: Limit) -> int:
        """The shard that has most left, as far as this instance knows."""
        if limit.shards == 1:
            return 0
        now = self._clock.now()

        def rank(number: int) -> tuple[bool, float]:
            shard = self._shards.get(rate_limits.limit_path(tenant, limit, number)) or _Shard()
            return shard.lock.locked(), wait_s(limit, number, shard.whole_at, now)

        return min(range(limit.shards), key=rank)

    async def _read(self, shard: _Shard, tenant: str, limit: Limit, number: int) -> None:
        if shard.known:
            return
        document = await self._store.get(rate_limits.limit_path(tenant, limit, number))
        shard.known = True
        shard.whole_at = document.fields["whole_at"] if document is not None else None
        shard.version = document.version if document is not None else None

    def _shard(self, path: str) -> _Shard:
        return _remember(self._shards, path, self._shards.get(path) or _Shard())


def _changed(usual: Limit, mine: Any) -> Limit | None:
    """The limit with what a person has written in its place; None where that is none."""
    if not isinstance(mine, Mapping) or not mine.keys() <= {"count", "period_s", "burst"}:
        return None
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in mine.values()):
        return None
    limit = replace(usual, **mine)
    fits = isinstance(limit.count, int) and isinstance(limit.burst, int)
    fits = fits and 1 <= limit.count <= _COUNT_MAX and 1 <= limit.burst <= _COUNT_MAX
    return limit if fits and 0 < limit.period_s <= _PERIOD_S_MAX else None


def _remember(kept: OrderedDict[str, _T], name: str, value: _T) -> _T:
    kept[name] = value
    kept.move_to_end(name)
    while len(kept) > REMEMBERED_MAX:
        kept.popitem(last=False)
    return value
