"""The simulator as a whole: a world, its two ports, and the files that tell clients how to trust it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import ssl
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from simulator.control import Control
from simulator.faults.model import Kind
from simulator.faults.registry import Faults, Standing
from simulator.groups import changes
from simulator.groups.model import Group
from simulator.limits import IDLE_SECONDS_MAX, LOG_FLUSH_SECONDS
from simulator.log import TruthLog
from simulator.media.service import MediaConnection
from simulator.noise import Identity
from simulator.phone import Phone
from simulator.proxy import Handler, ProxyConnection, Socket, listen, port_of
from simulator.rates import RatePolicy
from simulator.session import Session, State
from simulator.signal import curve
from simulator.tls import server_context, write_secret
from simulator.tokens import load_tokens
from simulator.world import Policy, World

log = logging.getLogger("simulator")

_SWEEP_SECONDS = 15.0


@dataclass(slots=True)
class Settings:
    """Ports may be 0 for free ones. Without a folder a temporary one is used and removed at the end."""

    control_port: int = 0
    proxy_port: int = 0
    folder: Path | None = None
    seed: int = 0
    log_file: Path | None = None
    rates: RatePolicy | None = None
    policy: Policy = field(default_factory=Policy)


class Simulator:
    """A running WhatsApp. `start()` opens the ports, `stop()` closes everything; also an async context manager."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.log = TruthLog(self.settings.log_file)
        self.world = World(self.log, self.settings.seed, self.settings.policy)
        self.started_at = 0.0
        self.proxy_port = self.control_port = 0
        self.noise_root = b""
        self.folder = Path()
        self._temporary = False
        self._identity: Identity
        self._context: ssl.SSLContext
        self.world.set_rates(self.settings.rates)
        self._control = Control(self)
        self.faults: Faults = self.world.faults
        self.faults.strike_open = self._strike_open
        self._servers: list[asyncio.Server] = []
        self._connections: set[ProxyConnection] = set()
        self._sessions: set[Session] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # Life

    async def start(self) -> None:
        """Raises `SimulatorError` if a port is taken or the node dictionary is missing; nothing is left open then."""
        load_tokens()
        self._prepare_folder()
        try:
            proxy = await listen(self.settings.proxy_port, "WhatsApp proxy", self._accept)
            self._servers.append(proxy)
            server = await listen(self.settings.control_port, "control API", self._control.connection)
            self._servers.append(server)
        except Exception:
            await self.stop()
            raise
        self.proxy_port, self.control_port = port_of(proxy), port_of(server)
        self.started_at = time.time()
        self._tasks = [asyncio.create_task(self._sweep()), asyncio.create_task(self._flush_log())]
        self._write_ready_file()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        self._control.close_connections()
        # Lets the aborted transports report their end before the loop may be closed.
        await asyncio.sleep(0)
        self._servers.clear()
        self.log.close()
        with contextlib.suppress(OSError):
            (self.folder / "simulator.json").unlink()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare_folder(self) -> None:
        self._temporary = self.settings.folder is None
        self.folder = (
            Path(tempfile.mkdtemp(prefix="simulator-")) if self.settings.folder is None else self.settings.folder
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._context = server_context(self.folder)
        # Kept between starts like the certificate: a client process patches its Noise root once.
        path = self.folder / "noise_root.key"
        private = path.read_bytes() if path.exists() and path.stat().st_size == 32 else os.urandom(32)
        write_secret(path, private)
        root = curve.from_private(private)
        self.noise_root = root.public
        (self.folder / "noise_root.hex").write_text(root.public.hex() + "\n")
        self._identity = Identity.issue(root)

    def _write_ready_file(self) -> None:
        """`simulator.json` appears when everything listens; written aside first, so that a reader never sees half of it."""
        aside = self.folder / "simulator.json.new"
        aside.write_text(json.dumps(self.describe(), indent=2) + "\n")
        aside.replace(self.folder / "simulator.json")

    def describe(self) -> dict[str, Any]:
        return {
            "control": f"http://127.0.0.1:{self.control_port}",
            "proxy": f"http://127.0.0.1:{self.proxy_port}",
            "ca": str((self.folder / "ca.pem").resolve()),
            "noise_root": self.noise_root.hex(),
            "pid": os.getpid(),
        }

    # Connections

    def _accept(self) -> ProxyConnection:
        return ProxyConnection(
            self._context, self._handler, self._connections, lambda why: self.log.add("protocol_error", why=why),
            self.faults,
        )  # fmt: skip

    def _handler(self, service: str, socket: Socket) -> Handler:
        if service == "media":
            return MediaConnection(self.world.media, self.log, socket)
        session = Session(self.world, socket, self._identity)
        self._sessions.add(session)
        return session.stream

    def drop_connections(self, number: str | None = None, device: int | None = None) -> int:
        """Resets the connections of a device, of a number, or all; gives how many."""
        if number is None:
            dropped = len(self._connections)
            for connection in list(self._connections):
                connection.abort()
            return dropped
        companions = self.world.phone(number).account.companions.values()
        links = [one.link for one in companions if one.link and device in (None, one.number)]
        for link in links:
            link.abort()
        return len(links)

    def _strike_open(self, standing: Standing) -> None:
        """A fault begins that hits whole connections: the ones that are open."""
        fault = standing.fault
        if fault.kind is Kind.STOP_ANSWERING:
            return  # It hits stanza by stanza.
        if fault.kind is Kind.STREAM_ERROR:
            for session in list(self._sessions):
                if (
                    session.device
                    and session.device.link is session
                    and any(self.faults.hits((standing,), session.owner, None, ""))
                ):
                    session.fail_stream(fault)
            return
        for connection in list(self._connections):
            if any(self.faults.hits((standing,), connection.owner, None, "")):
                connection.strike(standing)

    async def _sweep(self) -> None:
        """Closes connections that have been silent for too long, and forgets those that ended."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.world.remove_absent()
            oldest = time.monotonic() - IDLE_SECONDS_MAX
            for session in list(self._sessions):
                if session.state is State.CLOSED:
                    self._sessions.discard(session)
                elif session.last_heard < oldest:
                    session.abort()

    async def _flush_log(self) -> None:
        while True:
            await asyncio.sleep(LOG_FLUSH_SECONDS)
            self.log.flush()

    # For programs in the same process

    def add_phone(self, number: str, name: str = "") -> Phone:
        return self.world.add_phone(number, name)

    def phone(self, number: str) -> Phone:
        return self.world.phone(number)

    def create_group(self, by: str, subject: str, members: list[str]) -> Group:
        """A group that one number makes with others."""
        people = [self.world.phone(number).account for number in members]
        return changes.create(self.world, self.world.phone(by).account, subject, people)

    def stats(self) -> dict[str, Any]:
        accounts = self.world.directory.accounts()
        companions = [one for account in accounts for one in account.companions.values()]
        counts = self.log.counts
        return {
            "uptime_s": round(time.time() - self.started_at, 3),
            "connections": len(self._connections),
            "logged_in": sum(1 for one in companions if one.link),
            "phones": len(accounts),
            "devices": len(companions),
            "pairings_open": len(self.world.pairings),
            "accepted": counts.get("accepted", 0),
            "refused": counts.get("refused", 0),
            "delivered": counts.get("delivered", 0),
            "shown": counts.get("shown", 0),
            "waiting": counts.get("waiting", 0),
            "receipts": counts.get("receipt", 0),
            "duplicates_dropped": counts.get("duplicate", 0),
            "queued": sum(len(one.queue) for one in companions),
            "queues": {f"{one.account.number}:{one.number}": len(one.queue) for one in companions if len(one.queue)},
        }
