"""The egress proxy: a cell's own HTTP CONNECT proxy, so that it owns the TCP sockets to WhatsApp.

TLS stays end to end between the library and WhatsApp; what is gained is knowing when bytes last arrived, letting the kernel's
keep-alive ask the path every second without one byte that WhatsApp could see, and being able to stop speaking: when the lease
runs out, every socket is cut and nothing more leaves (`fence.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from keepline.domain.link_quality import PathSample
from keepline.domain.link_settings import Proxy
from keepline_connector.cell.fence import Fence
from keepline_connector.cell.last_resort import LastResort
from keepline_connector.cell.path import missing_options, watch_path
from keepline_connector.cell.tunnel import FenceClosed, Tunnel
from keepline_connector.cell.upstream import PROXY_UNREACHABLE, UNREACHABLE, DialFailed, dial
from keepline_connector.egress_status import EgressStatus

REPORT_INTERVAL_S = 1.0
_LOOK_INTERVAL_S = 0.25
# How soon after the lease ran out a socket that has nothing to say is cut; one that wants to speak is stopped before it does.
_GUARD_INTERVAL_S_MIN = 0.02
# The deadline is of another clock than the loop's, which a suspended machine stops.
_GUARD_INTERVAL_S_MAX = 0.5
# WhatsApp answers a frame that wants an answer within a round trip and its own work; the library gives it 10 s. Not every frame
# wants one, so this is a suspicion; who knows that an answer is owed makes more of it (stalls.py).
SILENCE_LIMIT_MS = 1_500
# The other kernel acknowledges within a round trip and 40 ms. After this long the path is likely gone, before the kernel ends
# the socket for it (path.USER_TIMEOUT_MS).
UNACKED_LIMIT_MS = 1_000
_DIAL_TIMEOUT_S = 10.0
_ACCEPT_PAUSE_S = 1.0
_HEAD_BYTES_MAX = 8 * 1024
_CHAT_HOSTS = (".whatsapp.com",)
_ALLOWED_HOSTS = (".whatsapp.net", *_CHAT_HOSTS)

Report = Callable[[str, int], None]
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class _Tally:
    """What has come to pass at all exits together. Of connections that have ended."""

    cut: int = 0
    sent_bytes: int = 0
    heard_bytes: int = 0
    failed_dials: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class _Exit:
    """One device's way out."""

    tally: _Tally
    report: Report
    sampled: Callable[[PathSample], None] | None
    failed: Callable[[str], None] | None
    upstream: Proxy | None = None
    public_only: bool = False
    tunnels: dict[Tunnel, None] = field(default_factory=dict)  # that the library uses, the newest last
    tasks: dict[asyncio.Task[None], int] = field(default_factory=dict)  # with the life of the fence they began in
    barred: bool = False
    kept_to: set[object] = field(default_factory=set)  # who wants no other chat connection than the one that stands
    failing: str | None = None  # the code of the last dial's failure
    unreached: str | None = None  # the same of the chat connection, while none stands
    suspicious: bool = False
    reported_at_s: float = 0.0


class Egress:
    """All exits of a cell, on one event loop in a thread of its own, behind one fence.

    With a `last_resort` the process is killed if it does not cut its sockets by itself in time.
    """

    def __init__(self, fence: Fence | None = None, last_resort: LastResort | None = None) -> None:
        self._fence = fence or Fence()
        self._last_resort = last_resort
        self._following = threading.Lock()
        self._follow_fence()
        self._loop = asyncio.new_event_loop()
        self._tally = _Tally()
        self._exits: dict[str, tuple[_Exit, socket.socket]] = {}  # each with where it listens
        threading.Thread(target=self._loop.run_forever, name="egress", daemon=True).start()
        self._tasks = [
            asyncio.run_coroutine_threadsafe(endless, self._loop) for endless in (self._look(), self._guard())
        ]

    def open(
        self,
        device: str,
        report: Report,
        sampled: Callable[[PathSample], None] | None = None,
        failed: Callable[[str], None] | None = None,
    ) -> str:
        """Open a device's exit and return its proxy address. It leads to WhatsApp directly, unless `route` says otherwise.

        While a tunnel stands, `report(kind, age_ms)` gets the newest evidence once a second, and `sampled` what is known of
        the chat connection: once a second, and at every look while it is suspicious and when it ceases to be. `failed(code)`
        hears why no chat connection can be made, when that changes (the codes of upstream.py).
        """
        return self._call(self._open(device, _Exit(self._tally, report, sampled, failed)))

    def route(self, device: str, upstream: str | None, *, public_only: bool) -> None:
        """Lead the device's next connections through the proxy `upstream`, or directly. Those that stand are left alone.

        `public_only`: the proxy must have a public address. Raises InvalidInput (`bad_proxy`), which does not quote it.
        """
        way_out, _ = self._exits[device]
        way = None if upstream is None else Proxy.parse(upstream)
        if (way, public_only) != (way_out.upstream, way_out.public_only):
            way_out.upstream, way_out.public_only = way, public_only
            way_out.failing = way_out.unreached = None

    def unreached(self, device: str) -> str | None:
        """Why the device's chat connection could not be made; None when it could."""
        way_out, _ = self._exits[device]
        return way_out.unreached

    def close(self, device: str) -> None:
        """Cut everything of this device at once."""
        self._call(self._close(device))

    def cut(self, device: str) -> None:
        """Cut the device's connections and leave its exit open for the next ones."""
        self._call(self._cut(device))

    def bar(self, device: str) -> None:
        """Cut the device's connections, and let it make no others until `unbar`. Returns when the sockets are cut."""
        self._call(self._bar(device))

    def unbar(self, device: str) -> None:
        """Let the device connect again."""
        way_out, _ = self._exits[device]
        way_out.barred = False
        way_out.kept_to.clear()

    @contextlib.contextmanager
    def keep_to_this_connection(self, device: str) -> Iterator[None]:
        """Let the device make no other chat connection for now; the one that stands goes on. `unbar` ends it."""
        way_out, _ = self._exits[device]
        wish = object()
        way_out.kept_to.add(wish)
        try:
            yield
        finally:
            way_out.kept_to.discard(wish)

    def renew(self, deadline_s: float) -> None:
        """The lease holds until `deadline_s` of the lease clock. After a gap the connections of before are cut, not kept."""
        self._fence.renew(deadline_s)
        self._follow_fence()

    def status(self) -> EgressStatus:
        return self._call(self._status())

    async def _status(self) -> EgressStatus:
        standing = [tunnel for way_out, _ in self._exits.values() for tunnel in way_out.tunnels]
        known = [info for tunnel in standing if tunnel.chat and (info := tunnel.known()) is not None]
        return EgressStatus(
            connections=len(standing),
            cut=self._tally.cut,
            sent_bytes=self._tally.sent_bytes + sum(tunnel.sent_bytes for tunnel in standing),
            heard_bytes=self._tally.heard_bytes + sum(tunnel.heard_bytes for tunnel in standing),
            failed_dials=dict(self._tally.failed_dials),
            round_trip_ms_max=round(max((info.round_trip_ms for info in known), default=0)),
            segments=sum(info.sent for info in known),
            segments_retransmitted=sum(info.retransmitted for info in known),
            missing=tuple(sorted(missing_options())),
        )

    def _follow_fence(self) -> None:
        """The kernel's deadline is the fence's, for as long as there may be something to cut."""
        if self._last_resort is not None:
            with self._following:
                self._last_resort.end_at(self._fence.deadline_s if self._fence.left_s() > 0 else math.inf)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _bar(self, device: str) -> None:
        way_out, _ = self._exits[device]
        way_out.barred = True
        await _end(way_out.tasks)

    async def _cut(self, device: str) -> None:
        way_out, _ = self._exits[device]
        await _end(way_out.tasks)

    async def _open(self, device: str, way_out: _Exit) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self._exits[device] = (way_out, listener)
        self._loop.add_reader(listener, self._accept, device, way_out, listener)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def _accept(self, device: str, way_out: _Exit, listener: socket.socket) -> None:
        """Not asyncio's server (3.11): what that has accepted when it closes is neither served nor closed, and the library
        would wait for a minute; and it logs an error for every connection that is cut.
        """
        try:
            library, _ = listener.accept()
        except BlockingIOError:
            return  # It has hung up already.
        except OSError as error:  # There are no descriptors left. It waits in the kernel's queue.
            log.warning("a connection of %s must wait: %s", device, error)
            self._loop.remove_reader(listener)
            self._loop.call_later(_ACCEPT_PAUSE_S, self._accept_again, device, way_out, listener)
            return
        library.setblocking(False)
        life = self._fence.life
        task = self._loop.create_task(_serve(device, way_out, self._fence, life, library))
        way_out.tasks[task] = life

        def ended(task: asyncio.Task[None]) -> None:
            del way_out.tasks[task]
            library.close()  # Also of one that was cancelled before it began.

        task.add_done_callback(ended)

    def _accept_again(self, device: str, way_out: _Exit, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, device, way_out, listener)

    async def _close(self, device: str) -> None:
        way_out, listener = self._exits.pop(device, (None, None))
        if way_out is None or listener is None:
            return
        way_out.barred = True
        self._loop.remove_reader(listener)
        listener.close()
        await _end(way_out.tasks)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            for way_out, _ in list(self._exits.values()):
                _tell(way_out)

    async def _guard(self) -> None:
        """Cut what has nothing to say as well, once the lease has run out."""
        while True:
            await asyncio.sleep(min(max(self._fence.left_s(), _GUARD_INTERVAL_S_MIN), _GUARD_INTERVAL_S_MAX))
            await self._cut_fenced()
            if self._fence.left_s() <= 0:
                self._follow_fence()

    async def _cut_fenced(self) -> None:
        fenced = [
            task
            for way_out, _ in self._exits.values()
            for task, life in way_out.tasks.items()
            if not self._fence.lets_through(life)
        ]
        if fenced:
            log.warning("the lease ran out: %d connections are cut", len(fenced))
            await _end(fenced)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(device: str, way_out: _Exit, fence: Fence, life: int, library: socket.socket) -> None:
    """One CONNECT of the library: dial, then carry bytes both ways until either side ends."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):  # The library has hung up.
        target = await _read_connect(library)
        if target is None:
            await loop.sock_sendall(library, _answer("403 Forbidden"))
            return
        chat = target[0].endswith(_CHAT_HOSTS)
        if way_out.barred or (chat and way_out.kept_to) or not fence.lets_through(life):
            await loop.sock_sendall(library, _answer("503 Service Unavailable"))
            return
        connected = await _dial(device, way_out, *target)
        if connected is None:
            await loop.sock_sendall(library, _answer("502 Bad Gateway"))
            return
        tunnel = Tunnel(connected, fence, life, chat=chat)
        way_out.tunnels[tunnel] = None
        try:
            await loop.sock_sendall(library, b"HTTP/1.1 200 Connection established\r\n\r\n")
            await tunnel.carry(library, lambda: way_out.tunnels.pop(tunnel))
        except FenceClosed:
            way_out.tally.cut += 1
            log.warning("the lease ran out: %s has been stopped in the middle of its words", device)
        except asyncio.CancelledError:
            way_out.tally.cut += tunnel in way_out.tunnels  # Otherwise the library has hung up already.
            raise
        finally:
            way_out.tunnels.pop(tunnel, None)
            way_out.tally.sent_bytes += tunnel.sent_bytes
            way_out.tally.heard_bytes += tunnel.heard_bytes
            connected.close()


async def _dial(device: str, way_out: _Exit, host: str, port: int) -> socket.socket | None:
    """A socket to WhatsApp that is being watched, or None. What keeps failing is logged once, and once when it works again."""
    try:
        async with asyncio.timeout(_DIAL_TIMEOUT_S):
            connected = await dial(way_out.upstream, host, port, public_only=way_out.public_only)
    except OSError as error:  # TimeoutError is one: a way that swallows everything.
        silent = DialFailed(PROXY_UNREACHABLE if way_out.upstream is not None else UNREACHABLE, type(error).__name__)
        failure = error if isinstance(error, DialFailed) else silent
        way_out.tally.failed_dials[failure.code] += 1
        if failure.code != way_out.failing:
            log.warning("WhatsApp cannot be reached for %s: %s", device, failure)
            way_out.failing = failure.code
        if host.endswith(_CHAT_HOSTS) and not any(tunnel.chat for tunnel in way_out.tunnels):
            changed, way_out.unreached = failure.code != way_out.unreached, failure.code
            if changed and way_out.failed is not None:
                way_out.failed(failure.code)
        return None
    if way_out.failing is not None:
        log.info("WhatsApp can be reached again for %s", device)
    way_out.failing = None
    if host.endswith(_CHAT_HOSTS):
        way_out.unreached = None
    watch_path(connected)
    return connected


def _answer(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()


async def _read_connect(library: socket.socket) -> tuple[str, int] | None:
    """The host and port that are asked for, or None when they are not WhatsApp's. It says no more until it has an answer."""
    loop = asyncio.get_running_loop()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = await loop.sock_recv(library, _HEAD_BYTES_MAX - len(head))
        if not part or len(head) + len(part) == _HEAD_BYTES_MAX:
            return None
        head += part
    try:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    except ValueError:
        return None
    host, _, port = target.rpartition(":")
    if method != "CONNECT" or not port.isdigit() or not host.endswith(_ALLOWED_HOSTS):
        return None
    return host, int(port)


def _tell(way_out: _Exit) -> None:
    """Pass on what is known of the chat connection, when it is time or something has become suspicious."""
    samples = [tunnel.sample() for tunnel in way_out.tunnels if tunnel.chat]
    if not samples:
        return
    newest = samples[-1]
    due = newest.at_s - way_out.reported_at_s >= REPORT_INTERVAL_S
    if due:
        way_out.reported_at_s = newest.at_s
        way_out.report(*min((_evidence(sample) for sample in samples), key=lambda seen: seen[1]))
    suspicious = newest.silent_ms > SILENCE_LIMIT_MS or (newest.unacked_ms or 0) > UNACKED_LIMIT_MS
    if way_out.sampled is not None and (due or suspicious or way_out.suspicious):
        way_out.suspicious = suspicious
        way_out.sampled(newest)


def _evidence(sample: PathSample) -> tuple[str, int]:
    """What was heard last on a connection, and how many milliseconds ago."""
    if sample.ack_age_ms is not None and sample.ack_age_ms < sample.frame_age_ms:
        return "tcp", sample.ack_age_ms
    return "frame", sample.frame_age_ms
