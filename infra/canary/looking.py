"""What Firestore tells of the connectors and sessions, for the judgement of a new image."""

from __future__ import annotations

import asyncio
from collections import Counter

from infra.canary.policy import Beat, Seen
from keepline.domain.session import SessionState
from keepline.ports.documents import DocumentStore, StoreUnavailable
from keepline.records import accounts, connectors, outbox
from keepline.records.accounts import Account
from keepline.records.connectors import ConnectorBeat
from keepline.records.outbox import Authority

_PROOF_AGE_MAX_MS = 20_000
_IN_ONE_QUERY_MAX = 30  # Firestore's limit of `in`
# A look that Firestore did not answer is repeated so often: for as long as a connector may take to be proven.
_TRIES_MAX = 60
_PAUSE_S = 10.0


async def look_until_answered(store: DocumentStore) -> Seen:
    """`look`, patiently. Raises StoreUnavailable when Firestore has been away for ten minutes."""
    for _ in range(_TRIES_MAX - 1):
        try:
            return await look(store)
        except StoreUnavailable:
            await asyncio.sleep(_PAUSE_S)
    return await look(store)


async def look(store: DocumentStore) -> Seen:
    """The installation now: a read for each connector, account and account's authority."""
    beats = [ConnectorBeat.read(document) for document in await store.query(connectors.all_connectors())]
    found = [Account.read(document) for document in await store.query(accounts.all_accounts())]
    wanted = [account for account in found if account.wanted]
    return Seen(
        beats={one.connector: Beat(one.process, one.beat, one.is_over, _proven(one)) for one in beats},
        connected=_in_state(wanted, SessionState.CONNECTED),
        outdated=_in_state(wanted, SessionState.OUTDATED),
        there=frozenset(account.id for account in wanted),
        sending=await _sending(store, [account.id for account in wanted]),
    )


def _proven(beat: ConnectorBeat) -> int:
    ages = [device.evidence_age_ms for device in beat.devices.values()]
    return sum(age is not None and age <= _PROOF_AGE_MAX_MS for age in ages)


def _in_state(found: list[Account], state: SessionState) -> frozenset[str]:
    return frozenset(account.id for account in found if account.status.state is state)


async def _sending(store: DocumentStore, names: list[str]) -> Counter[str]:
    sending: Counter[str] = Counter()
    for start in range(0, len(names), _IN_ONE_QUERY_MAX):
        asked = outbox.authorities_of(tuple(names[start : start + _IN_ONE_QUERY_MAX]))
        sending.update(Authority.read(document).connector for document in await store.query(asked))
    return sending
