"""Real parts: Google's emulator, the simulator, and connectors in processes with the real neonize in their cells."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keepline.adapters.firestore import FirestoreDocuments
from keepline.adapters.key_file import create_key_file
from keepline.domain.content.bodies import text_content
from keepline.domain.ids import new_message_id
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import Document, StoreConflict, StoreUnavailable
from keepline.records import accounts, outbox
from keepline.records.accounts import Account
from keepline.records.link_settings import StoredSettings
from keepline.records.outbox import NewMessage
from keepline_local.emulators import firestore_emulator
from keepline_local.processes import Child, spawn
from simulator import Settings
from simulator.client import SimulatorClient
from simulator.testing import RunningSimulator
from simulator.world import Policy

LIMIT_S = 30.0
TENANT = "demo"
PHONE = "14155550100"
FRIEND = "14155550123"


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    with firestore_emulator() as host:
        yield host


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    settings = Settings(folder=tmp_path / "simulator", policy=Policy(every_number_exists=True))
    with RunningSimulator(settings) as running:
        yield running


@dataclass
class Gateway:
    """Connectors without the API: what it would write is written here, what it would read is read here."""

    store: FirestoreDocuments
    simulator: RunningSimulator
    folder: Path
    environment: dict[str, str]
    connectors: dict[str, Child] = field(default_factory=dict)
    sent: int = 0

    @property
    def whatsapp(self) -> SimulatorClient:
        return self.simulator.client

    def start(self, name: str = "connector-1", module: str = "keepline_local.simulated_connector") -> Child:
        environment = {
            **self.environment,
            "KEEPLINE_CONNECTOR_ID": name,
            "KEEPLINE_REGION": f"local-{name[-1]}",
            "KEEPLINE_DATA_DIR": str(self.folder / name),
            "KEEPLINE_HEALTH_PORT": "0",
            "KEEPLINE_PROFILE": "extreme",
        }
        command = [sys.executable, "-m", module]
        self.connectors[name] = spawn(name, command, self.folder / f"{name}.log", env=environment)
        return self.connectors[name]

    def kill(self, name: str = "connector-1") -> None:
        """kill -9 of the supervisor alone, as the operating system's out-of-memory killer would do it."""
        os.kill(self.connectors[name].pid, signal.SIGKILL)
        self.connectors[name].wait(LIMIT_S)

    async def create(self, session: str = "s1", pacing: str = "off") -> str:
        account = f"{TENANT}_{session}"
        await self.store.commit(
            accounts.new_account(
                account=account,
                tenant=TENANT,
                session_id=session,
                tag_key=os.urandom(32),
                status=WAITING_FOR_CONNECTOR,
                settings=StoredSettings(pacing=pacing),
            )
        )
        return account

    async def link(self, session: str = "s1", phone: str = PHONE, pacing: str = "off") -> str:
        account = await self.create(session, pacing)
        qr = await self.until(lambda: self.qr(account), "a QR code")
        self.whatsapp.add_phone(phone, "Ada")
        await asyncio.to_thread(self.whatsapp.scan, phone, qr)
        await self.until_state(account, "connected")
        return account

    async def link_standby(self, account: str, phone: str = PHONE) -> None:
        document = await self.store.get(accounts.account_path(account))
        assert document is not None
        await self.store.commit(accounts.new_standby(Account.read(document), WAITING_FOR_CONNECTOR))
        qr = await self.until(lambda: self.qr(account, "b"), "a QR code for the standby")
        await asyncio.to_thread(self.whatsapp.scan, phone, qr)
        await self.until(lambda: self.device_is(account, "b", "connected"), "the standby to be connected")

    async def device_is(self, account: str, slot: str, state: str) -> bool:
        document = await self.store.get(accounts.device_path(account, slot))
        return document is not None and document.fields["state"] == state

    async def qr(self, account: str, slot: str = "a") -> str | None:
        document = await self.store.get(accounts.pairing_path(account, slot))
        return document.fields["qr"] if document else None

    async def send(self, account: str, text: str, to: str = FRIEND, **choices: Any) -> str:
        self.sent += 1
        message_id = new_message_id(os.urandom(16))
        session = account.partition("_")[2]
        row = NewMessage(
            message_id, TENANT, account, session, f"{to}@s.whatsapp.net", text_content(text), "", **choices
        )

        async def accepted() -> bool:
            # The emulator cancels other clients' calls when a listening process is killed; the API's callers repeat them, too.
            try:
                await self.store.commit([outbox.new_row(row)])
            except StoreConflict:
                return True  # It was applied the time before.
            except StoreUnavailable:
                return False
            return True

        await self.until(accepted, "the message to be accepted")
        return message_id

    def inbox(self, phone: str = FRIEND) -> list[str]:
        return [message["text"] for message in self.whatsapp.inbox(phone)]

    async def until_inbox(self, count: int, phone: str = FRIEND) -> list[str]:
        async def enough() -> list[str] | None:
            texts = await asyncio.to_thread(self.inbox, phone)
            return texts if len(texts) >= count else None

        return await self.until(enough, f"{count} messages in the inbox of {phone}")

    async def until_state(self, account: str, *states: str) -> Document:
        async def reached() -> Document | None:
            document = await self.store.get(accounts.account_path(account))
            return document if document and document.fields["state"] in states else None

        return await self.until(reached, f"{account} to be {' or '.join(states)}")

    async def until_message(self, message_id: str, *states: str) -> Document:
        async def reached() -> Document | None:
            document = await self.store.get(outbox.row_path(message_id))
            return document if document and document.fields["state"] in states else None

        return await self.until(reached, f"{message_id} to be {' or '.join(states)}")

    async def until(self, look: Callable[[], Awaitable[Any]], what: str, limit_s: float = LIMIT_S) -> Any:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if found := await look():
                return found
            await asyncio.sleep(0.02)
        logs = "\n".join(f"--- {name}\n{child.tail()}" for name, child in self.connectors.items())
        raise AssertionError(f"waited {limit_s:.0f} s for {what}\n{logs}")


@pytest.fixture
async def gateway(
    emulator: str, simulator: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateway]:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator)
    project = f"integration-{uuid.uuid4().hex[:12]}"
    store = FirestoreDocuments(project)
    folder = tmp_path / "simulator"
    keys = tmp_path / "session_keys.json"
    create_key_file(keys)
    environment = {
        "KEEPLINE_KEY_FILE": str(keys),
        "KEEPLINE_PROJECT": project,
        "FIRESTORE_EMULATOR_HOST": emulator,
        "KEEPLINE_UPSTREAM_PROXY": simulator.about["proxy"],
        "KEEPLINE_SIMULATOR_DIR": str(folder),
        "SSL_CERT_FILE": str(folder / "ca.pem"),
        "KEEPLINE_MEDIA_DIR": str(tmp_path / "media"),
    }
    gateway = Gateway(store, simulator, tmp_path, environment)
    yield gateway
    await asyncio.gather(*(asyncio.to_thread(child.stop) for child in gateway.connectors.values()))
    await store.close()
