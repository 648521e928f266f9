"""The control API: JSON over HTTP on loopback, by which tests and people act as phones and look inside."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from simulator.accounts import Companion
from simulator.control_body import Body, error_body, read_body
from simulator.control_content import ContentRoutes, find_device
from simulator.errors import ProtocolError, SimulatorError
from simulator.faults.parse import fault_from_json
from simulator.http11 import Request, RequestReader, response
from simulator.jid import normal_number
from simulator.limits import LOG_PAGE_EVENTS_MAX
from simulator.rates import RatePolicy

if TYPE_CHECKING:
    from simulator.server import Simulator

log = logging.getLogger("simulator")

Answer = tuple[int, dict[str, Any]]
Route = Callable[..., Awaitable[Answer]]


class Control:
    """Routes requests; each route is a method that gives a status and a JSON object."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._world = simulator.world
        self._connections: set[ControlConnection] = set()
        number, device = r"(?P<number>[^/]+)", r"(?P<device>[^/]+)"
        routes: list[tuple[str, str, Route]] = [
            ("GET", "/health", self._health),
            ("GET", "/stats", self._stats),
            ("GET", "/log", self._log),
            ("GET", "/phones", self._phones),
            ("POST", "/phones", self._add_phone),
            ("POST", f"/phones/{number}/scan", self._scan),
            ("GET", f"/phones/{number}/inbox", self._inbox),
            ("POST", f"/phones/{number}/receipts", self._send_receipts),
            ("GET", f"/phones/{number}/receipts", self._receipts),
            ("GET", f"/phones/{number}/devices", self._devices),
            ("DELETE", f"/phones/{number}/devices/{device}", self._unlink),
            ("POST", "/connections/drop", self._drop),
            ("POST", "/faults", self._add_fault),
            ("GET", "/faults", self._list_faults),
            ("DELETE", "/faults", self._clear_faults),
            ("DELETE", r"/faults/(?P<fault>[^/]+)", self._clear_fault),
            ("GET", "/rates", self._rates),
            ("POST", "/rates", self._set_rates),
            ("DELETE", "/rates", self._end_rates),
            ("GET", "/bans", self._list_bans),
            ("DELETE", "/bans", self._lift_bans),
            ("DELETE", f"/bans/{number}", self._lift_ban),
        ]
        routes += ContentRoutes(self._world).routes()
        self._routes = [(method, re.compile(path), route) for method, path, route in routes]

    def connection(self) -> ControlConnection:
        return ControlConnection(self, self._connections)

    def close_connections(self) -> None:
        for connection in list(self._connections):
            connection.close()

    async def answer(self, request: Request) -> Answer:
        """Every failure becomes `{"error": {code, message, hint}}` with a fitting status."""
        try:
            return await self._route(request)
        except SimulatorError as problem:
            return problem.status, error_body(problem)
        except Exception:
            log.exception("a control request failed inside the simulator")
            return 500, error_body(
                SimulatorError("internal", "The simulator failed on this request; its log says why.")
            )

    async def _route(self, request: Request) -> Answer:
        others = []
        for method, pattern, route in self._routes:
            found = pattern.fullmatch(request.path)
            if found is None:
                continue
            if method == request.method:
                parts = found.groupdict()
                if method == "POST":
                    parts["body"] = read_body(request.body)
                elif method == "GET" and request.query:
                    parts["query"] = request.query
                return await route(**parts)
            others.append(method)
        if others:
            allowed = " or ".join(others)
            raise SimulatorError("wrong_method", f"{request.path} takes {allowed}, not {request.method}.", status=405)
        raise SimulatorError(
            "no_such_path",
            f"There is nothing at {request.path[:200]}.",
            "The README lists the control API.",
            status=404,
        )

    # The service

    async def _health(self, query: dict[str, str] | None = None) -> Answer:
        return 200, {"ok": True, **self._simulator.describe()}

    async def _stats(self, query: dict[str, str] | None = None) -> Answer:
        return 200, self._simulator.stats()

    async def _log(self, query: dict[str, str] | None = None) -> Answer:
        query = query or {}
        since, limit = _count(query, "since", 0), _count(query, "limit", LOG_PAGE_EVENTS_MAX)
        events, cursor = self._world.log.since(since, query.get("kind"), max(1, min(limit, LOG_PAGE_EVENTS_MAX)))
        return 200, {"events": events, "cursor": cursor, "oldest": self._world.log.oldest()}

    async def _drop(self, body: dict[str, Any]) -> Answer:
        take = Body(body)
        number, device = take.text("number", None), take.integer("device", None)
        take.done()
        if device is not None and number is None:
            raise SimulatorError("missing_number", "`device` says nothing without `number`.", "Give both, or neither.")
        return 200, {"dropped": self._simulator.drop_connections(number, device)}

    # Faults

    async def _add_fault(self, body: dict[str, Any]) -> Answer:
        fault_id = self._simulator.faults.add(fault_from_json(body))
        return 201, self._simulator.faults.get(fault_id)

    async def _list_faults(self, query: dict[str, str] | None = None) -> Answer:
        return 200, {"faults": self._simulator.faults.list()}

    async def _clear_faults(self) -> Answer:
        return 200, {"cleared": self._simulator.faults.clear()}

    async def _clear_fault(self, fault: str) -> Answer:
        if not fault.isdigit():
            raise SimulatorError("no_such_fault", "A fault's id is a number.", "GET /faults lists them.", 404)
        return 200, {"cleared": self._simulator.faults.clear(int(fault))}

    async def _rates(self, query: dict[str, str] | None = None) -> Answer:
        rates = self._world.rates
        return 200, rates.as_json() if rates else {"policy": None}

    async def _set_rates(self, body: dict[str, Any]) -> Answer:
        self._world.set_rates(RatePolicy.from_json(body))
        return await self._rates()

    async def _end_rates(self) -> Answer:
        self._world.set_rates(None)
        return await self._rates()

    async def _list_bans(self, query: dict[str, str] | None = None) -> Answer:
        return 200, {"bans": self._world.bans.list()}

    async def _lift_bans(self) -> Answer:
        return 200, {"lifted": self._world.bans.lift()}

    async def _lift_ban(self, number: str) -> Answer:
        return 200, {"lifted": self._world.bans.lift(normal_number(number))}

    # Phones

    async def _phones(self, query: dict[str, str] | None = None) -> Answer:
        accounts = self._world.directory.accounts()
        return 200, {
            "phones": [
                {"number": one.number, "name": one.name, "lid": str(one.lid_jid), "devices": sorted(one.companions)}
                for one in accounts
            ]
        }

    async def _add_phone(self, body: dict[str, Any]) -> Answer:
        take = Body(body)
        number, name = take.text("number"), take.text("name", "")
        take.done()
        account = self._world.add_phone(number or "", (name or "")[:64]).account
        return 201, {"number": account.number, "name": account.name, "lid": str(account.lid_jid)}

    async def _scan(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        qr = take.text("qr") or ""
        take.done()
        companion = await self._world.pairings.scan(self._world.phone(number), qr)
        return 200, {"jid": str(companion.pn), "lid": str(companion.lid), "device": companion.number}

    async def _inbox(self, number: str, query: dict[str, str] | None = None) -> Answer:
        phone = self._world.phone(number)
        if query and "ids" in query:
            # Whoever follows the log asks for what is new: all of a long chat, again and again, would take the machine.
            chosen = [message for one in query["ids"].split(",") if (message := phone.chats.find(one)) is not None]
            return 200, {"messages": [message.as_json() for message in chosen if message.from_number != number]}
        return 200, {
            "messages": [message.as_json() for message in phone.inbox],
            "sent": [message.as_json() for message in phone.sent_copies],
            "own": [message.as_json() for message in phone.chats.own],
            "duplicates_dropped": phone.duplicates_dropped,
        }

    async def _send_receipts(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        ids, kind = take.texts("message_ids"), take.text("type", "read") or ""
        take.done()
        self._world.phone(number).send_receipts(ids, kind)
        return 200, {"sent": len(ids)}

    async def _receipts(self, number: str, query: dict[str, str] | None = None) -> Answer:
        receipts = self._world.phone(number).receipts
        return 200, {"receipts": [{"id": one, "type": kind, "from": author} for one, kind, author in receipts]}

    async def _devices(self, number: str, query: dict[str, str] | None = None) -> Answer:
        companions = self._world.phone(number).account.companions.values()
        return 200, {"devices": [_device_json(companion) for companion in companions]}

    async def _unlink(self, number: str, device: str) -> Answer:
        companion = find_device(self._world.phone(number), device)
        self._world.unlink(companion)
        return 200, {"unlinked": str(companion.pn)}


def _device_json(one: Companion) -> dict[str, Any]:
    return {
        "device": one.number,
        "jid": str(one.pn),
        "lid": str(one.lid),
        "platform": one.platform,
        "connected": one.link is not None,
        "linked_at": one.linked_at,
        "last_seen": one.last_seen,
        "queued": len(one.queue),
        "prekeys": len(one.keys.one_time),
    }


def _count(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdigit():
        raise SimulatorError("bad_query", f"`{name}` must be a number that is not negative.")
    return int(text)


class ControlConnection(asyncio.Protocol):
    """One HTTP connection; requests are answered in order."""

    def __init__(self, control: Control, connections: set[ControlConnection]) -> None:
        self._control = control
        self._connections = connections
        self._reader = RequestReader()
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        if self._task:
            self._task.cancel()

    def close(self) -> None:
        if self._transport:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for request in self._reader.feed(data):
                self._requests.put_nowait(request)
        except ProtocolError as problem:
            if self._transport:
                self._transport.write(response(400, json.dumps(error_body(problem)).encode(), close=True))
                self._transport.close()

    async def _serve(self) -> None:
        while True:
            request = await self._requests.get()
            status, body = await self._control.answer(request)
            if self._transport is None:
                return
            self._transport.write(response(status, json.dumps(body).encode() + b"\n", close=not request.keeps_alive()))
            if not request.keeps_alive():
                self._transport.close()
                return
