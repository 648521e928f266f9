"""The control API: JSON over HTTP on loopback, by which tests and people act as phones and look inside."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from simulator.accounts import Companion
from simulator.errors import ProtocolError, SimulatorError
from simulator.http11 import Request, RequestReader, response
from simulator.limits import LOG_PAGE_EVENTS_MAX, RECEIPT_IDS_MAX

if TYPE_CHECKING:
    from simulator.server import Simulator

log = logging.getLogger("simulator")

Answer = tuple[int, dict[str, Any]]
Route = Callable[..., Awaitable[Answer]]
_MISSING = object()


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
            ("POST", f"/phones/{number}/messages", self._send),
            ("POST", f"/phones/{number}/receipts", self._send_receipts),
            ("GET", f"/phones/{number}/receipts", self._receipts),
            ("GET", f"/phones/{number}/devices", self._devices),
            ("DELETE", f"/phones/{number}/devices/{device}", self._unlink),
            ("POST", "/connections/drop", self._drop),
        ]
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
        return 200, {
            "messages": [message.as_json() for message in phone.inbox],
            "sent": [message.as_json() for message in phone.sent_copies],
            "duplicates_dropped": phone.duplicates_dropped,
        }

    async def _send(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        to, text = take.text("to") or "", take.text("text") or ""
        take.done()
        return 200, {"id": self._world.phone(number).send_text(to, text)}

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
        companions = self._world.phone(number).account.companions
        companion = companions.get(int(device)) if device.isdigit() else None
        if companion is None:
            raise SimulatorError(
                "no_such_device", f"{number} has no linked device {device[:20]!r}.", "GET /phones/{number}/devices lists them.",
                status=404,
            )  # fmt: skip
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


def read_body(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw or b"{}")
    except ValueError as problem:
        raise SimulatorError("bad_json", f"The body is not JSON: {problem}.") from None
    if not isinstance(body, dict):
        raise SimulatorError("bad_json", "The body must be a JSON object.")
    return body


class Body:
    """Takes known fields out of a request body; `done` refuses what is left."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = dict(fields)

    def _take(self, name: str, default: Any, kind: type, what: str) -> Any:
        value = self._fields.pop(name, default)
        if value is _MISSING:
            raise SimulatorError("missing_field", f"`{name}` is missing.", f"It must be {what}.")
        if value is not default and (not isinstance(value, kind) or isinstance(value, bool)):
            raise SimulatorError("bad_field", f"`{name}` must be {what}.")
        return value

    def text(self, name: str, default: str | object | None = _MISSING) -> str | None:
        value: str | None = self._take(name, default, str, "a text")
        return value

    def integer(self, name: str, default: int | object | None = _MISSING) -> int | None:
        value: int | None = self._take(name, default, int, "a whole number")
        return value

    def texts(self, name: str) -> list[str]:
        value: list[str] = self._take(name, _MISSING, list, "a list of texts")
        if not value or len(value) > RECEIPT_IDS_MAX or not all(isinstance(one, str) for one in value):
            raise SimulatorError("bad_field", f"`{name}` must be a list of 1 to {RECEIPT_IDS_MAX} texts.")
        return value

    def done(self) -> None:
        if self._fields:
            names = ", ".join(sorted(self._fields))[:200]
            raise SimulatorError("unknown_field", f"This request does not know: {names}.", "Leave it out.")


def error_body(problem: SimulatorError) -> dict[str, Any]:
    return {"error": {"code": problem.code, "message": problem.message, "hint": problem.hint}}


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
