"""The API on the shipped fakes: a store in memory, a clock that stands still, and helpers that play the connector."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from keepline.domain.errors import Unauthenticated
from keepline.domain.lease import EXTREME
from keepline.domain.link_events import MessageHeard
from keepline.domain.session import SessionState, SessionStatus
from keepline.ports.documents import Document, Merge, Query, StoreConflict, StoreUnavailable, Update, Version, Write
from keepline.records import accounts, api_keys, connectors, history, outbox, rate_limits
from keepline.records.accounts import Account, LinkLife
from keepline.records.connectors import DeviceBeat
from keepline.records.outbox import Authority
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.notifying import MemoryNotifier
from keepline.testing.uptime_probes import MemoryProbe
from keepline.testing.webhook_calls import MemoryReceiver, MemoryWaker
from keepline.usecases.access import SignedIn
from keepline.usecases.limiting import OWN_LIMITS_S
from keepline.usecases.media import Shelf
from keepline_functions.assembling import Outside, Process, assemble
from keepline_functions.loop import BackgroundLoop

from .described import described_client

MAIN = Path(__file__).parents[2] / "functions" / "main.py"
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CHAT = "14155550123@s.whatsapp.net"
TIMEOUT_S = 10.0
METRICS_TOKEN = "0123456789abcdef" * 2

_T = TypeVar("_T")


class StandingClock:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return (self.at - NOON).total_seconds()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class FaultyDocuments(MemoryDocuments):
    """A store that can stop answering, hang, or apply a commit and lose the answer."""

    def __init__(self, clock: StandingClock) -> None:
        super().__init__(clock)
        self.down = False
        self.hangs = False
        self.conflicts_after_applying = 0
        self.conflicts = 0
        self.gets = 0
        self.counts = 0
        # What others do in between: run before the next commits, one each.
        self.meanwhile: list[Callable[[], Awaitable[object]]] = []

    async def get(self, path: str) -> Document | None:
        await self._trouble()
        self.gets += 1
        return await super().get(path)

    async def query(self, query: Query) -> list[Document]:
        await self._trouble()
        return await super().query(query)

    async def count(self, query: Query) -> int:
        await self._trouble()
        self.counts += 1
        return len(self.run_query(query))

    async def others_commit(self, *writes: Write) -> list[Version]:
        """A commit of somebody else's, who has no trouble with the store."""
        return await super().commit(list(writes))

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        await self._trouble()
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        if self.conflicts:
            self.conflicts -= 1
            raise StoreConflict("somebody else was there first")
        versions = await super().commit(writes)
        if self.conflicts_after_applying:
            # What the adapter sees when it repeats a commit that had been applied: its own document is in the way.
            self.conflicts_after_applying -= 1
            raise StoreConflict("exists")
        return versions

    async def _trouble(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise StoreUnavailable("the emulator of a bad day")


class World:
    """One API with two tenants, `anna` and `bert`, each with an API key."""

    def __init__(self, shelf: Callable[[StandingClock], Shelf] | None = None) -> None:
        self.clock = StandingClock()
        self.loop = BackgroundLoop()
        self.store = FaultyDocuments(self.clock)
        self.tokens: dict[str, str] = {}
        self.operators: set[str] = set()  # of those who sign in
        self.keys = MemoryKeys()
        self.receiver = MemoryReceiver()
        self.waker = MemoryWaker()
        self.our_probe, self.probe = MemoryProbe(), MemoryProbe()
        self.notifier = MemoryNotifier()
        self.outside = Outside(
            loop=self.loop,
            store=self.store,
            clock=self.clock,
            verify_token=self._verify,
            entropy=secrets.token_bytes,
            keys=self.keys,
            webhook_keys=self.keys,
            caller=self.receiver,
            waker=self.waker,
            our_probe=self.our_probe,
            probe=self.probe,
            notifier=self.notifier,
            private_addresses=False,
            api_url="https://api.example.com",
            metrics_token=METRICS_TOKEN,
            shelf=shelf(self.clock) if shelf is not None else None,
        )
        self.process: Process = assemble(self.outside)
        self.client = described_client(self.process.app)
        self.anna = self.add_key("anna")
        self.bert = self.add_key("bert")

    def _verify(self, token: str) -> SignedIn:
        if token not in self.tokens:
            raise Unauthenticated("bad_token", "No.", "Sign in.")
        tenant = self.tokens[token]
        return SignedIn(tenant, tenant in self.operators)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return self.loop.run(coroutine, TIMEOUT_S)

    def commit(self, *writes: Write) -> None:
        self.run(self.store.commit(list(writes)))

    def document(self, path: str) -> Document | None:
        return self.run(self.store.get(path))

    def fields(self, path: str) -> dict[str, Any]:
        document = self.document(path)
        assert document is not None, path
        return dict(document.fields)

    def all_in(self, collection: str) -> list[Document]:
        return self.run(self.store.query(Query(collection, limit=1_000)))

    def add_key(
        self, tenant: str, scopes: tuple[str, ...] = api_keys.USER_SCOPES, sessions: tuple[str, ...] | None = None
    ) -> dict[str, str]:
        """The headers of a key that is in use: its next use within an hour writes nothing."""
        key = api_keys.new_key(secrets.token_bytes(32))
        self.commit(api_keys.add_key(key, tenant=tenant, name="test", scopes=scopes, sessions=sessions))
        self.commit(Update(api_keys.key_path(key), {"last_used_at": self.clock.now()}))
        return {"X-Api-Key": key}

    def set_limit(self, tenant: str, name: str, **limit: Any) -> None:
        """What a person would write to give a user a limit of its own; a moment later it holds."""
        self.commit(Merge(rate_limits.tenant_path(tenant), {"limits": {name: limit}}))
        self.clock.advance(OWN_LIMITS_S + 0.1)

    # What a connector would write.

    def add_session(
        self,
        session: str = "shop",
        tenant: str = "anna",
        *,
        state: str = "starting",
        code: str = "starting",
        phone: str | None = None,
        connector: str = "c1",
    ) -> str:
        """A session that a connector holds, in a state. Returns the account id."""
        account = f"{tenant}_{session}"
        status = SessionStatus(SessionState(state), code)
        self.commit(
            *accounts.new_account(
                account=account,
                tenant=tenant,
                session_id=session,
                tag_key=secrets.token_bytes(32),
                status=status,
            )
        )
        self.commit(
            Update(accounts.account_path(account), {"phone": phone}),
            Update(
                accounts.device_path(account, "a"),
                {"connector": connector, "region": "r1" if connector else "", "linked": phone is not None},
            ),
        )
        return account

    def add_standby(self, account: str, state: str, code: str, *, linked: bool, connector: str = "c2") -> None:
        """A second device that a connector holds, in a state."""
        document = self.document(accounts.account_path(account))
        assert document is not None
        status = SessionStatus(SessionState(state), code)
        self.commit(*accounts.new_standby(Account.read(document), status))
        self.commit(
            Update(accounts.device_path(account, "b"), {"connector": connector, "region": "r2", "linked": linked})
        )

    def set_state(self, account: str, state: str, code: str) -> None:
        status = SessionStatus(SessionState(state), code)
        self.commit(
            accounts.account_status(account, status, phone=None, lid=None),
            accounts.device_status(account, "a", status, None, LinkLife()),
        )

    def beat(
        self,
        account: str,
        *,
        evidence_age_ms: int | None = 100,
        quality: int | None = None,
        stopping: bool = False,
        connector: str = "c1",
        n: int = 1,
        slot: str = "a",
        held: tuple[str, float] | None = None,
    ) -> None:
        kind = "answer" if evidence_age_ms is not None else None
        beats = (
            {f"{account}_{slot}": DeviceBeat(kind, evidence_age_ms, 0, None, *(held or (None, None)), quality)}
            if account
            else {}
        )
        document = self.document(connectors.connector_path(connector))
        beater = connectors.Beater(connector, "r1", "process", EXTREME.ttl_s, 200, self.clock.now())
        self.commit(beater.write_beat(n, beats, stopping=stopping, version=document.version if document else None))

    def offer_qr(self, account: str, qr: str | None, slot: str = "a") -> None:
        if self.document(accounts.pairing_path(account, slot)) is None:
            self.commit(accounts.new_pairing(account, slot, account.partition("_")[0]))
        self.commit(accounts.offer_qr(account, slot, qr))

    def hear(self, account: str, wa_id: str, at: datetime, *, chat: str = CHAT, from_me: bool = False) -> str:
        """Record a message that WhatsApp brought. Returns its message id."""
        tenant, _, session = account.partition("_")
        heard = MessageHeard(1, wa_id, chat, "14155550123", None, from_me, "text", f"text of {wa_id}", at)
        write = history.heard_message(account, tenant, session, heard)
        self.commit(write)
        return str(write.fields["message_id"])

    def settle(self, message_id: str, **fields: Any) -> None:
        self.commit(Update(outbox.row_path(message_id), fields))

    def claim(self, account: str, *message_ids: str) -> None:
        """Name messages in an open claim, as the connector does before it hands them over."""
        self.run(self.claims(account, *message_ids)())

    def claims(self, account: str, *message_ids: str) -> Callable[[], Awaitable[object]]:
        """The same, to be done at a moment of the test's choice."""

        async def claim() -> object:
            document = await self.store.get(outbox.authority_path(account))
            before = Authority.read(document) if document is not None else Authority(account, 1, "c1", "a")
            return await self.store.others_commit(before.after(message_ids, []).write())

        return claim

    # What a program would ask.

    def send(
        self,
        text: str = "hello",
        *,
        session: str = "shop",
        to: str = "+14155550123",
        options: Any = None,
        **headers: Any,
    ) -> Any:
        body = {"session_id": session, "to": to, "text": text} | (options or {})
        return self.client.post("/api/messages/send", json=body, headers=self.anna | headers)

    def post(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return self.client.post(path, headers=self.anna if headers is None else headers)

    def delete(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return self.client.delete(path, headers=self.anna if headers is None else headers)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return self.client.get(path, headers=self.anna if headers is None else headers)


def error_code(response: Any) -> str:
    """The code of an error answer, which has exactly the promised shape."""
    body = response.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    assert all(isinstance(value, str) and value for value in body["error"].values())
    return str(body["error"]["code"])
