"""Faults below the stanzas: bytes of one connection that are held back, late, or slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from simulator.faults.model import Direction, Kind
from simulator.faults.registry import Owner, Standing
from simulator.limits import WIRE_BACKLOG_BYTES_MAX, WIRE_PIECE_BYTES_MIN, WIRE_PIECES_PER_SECOND

T = TypeVar("T")


class Line(Generic[T]):
    """Things that go on later, in order; `held` stops them altogether."""

    def __init__(self, out: Callable[[T], None]) -> None:
        self._out = out
        self._items: deque[tuple[float, T]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last_due = 0.0
        self.held = False

    def __len__(self) -> int:
        return len(self._items)

    def push(self, item: T, due: float) -> None:
        """`due` is a time of the event loop's clock; what was pushed before leaves before."""
        self._last_due = max(self._last_due, due)
        self._items.append((self._last_due, item))
        self._wait()

    def hold(self, held: bool) -> None:
        self.held = held
        self._wait()

    def stop(self) -> None:
        self._items.clear()
        self._wait()

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._items and not self.held:
            self._timer = asyncio.get_running_loop().call_at(self._items[0][0], self._go)

    def _go(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._items and not self.held and self._items[0][0] <= now:
            self._out(self._items.popleft()[1])
        self._wait()


class _Way:
    """One direction: how late and how slow it is, and what is on it."""

    def __init__(self, direction: Direction, out: Callable[[bytes], None]) -> None:
        self._direction = direction
        self._out = out
        self.line: Line[bytes] = Line(self._leave)
        self.waiting_bytes = 0
        self._delay_s: list[tuple[Standing, float, float]] = []
        self._bytes_per_s: float | None = None
        self._free_at = 0.0

    def set(self, standings: list[Standing]) -> None:
        mine = [one for one in standings if one.fault.target.direction in (None, self._direction)]
        self._delay_s = [
            (one, one.fault.number_of("delay_s"), one.fault.number_of("jitter_s"))
            for one in mine
            if one.fault.kind is Kind.SLOW
        ]
        limits = [one.fault.number_of("bytes_per_s") for one in mine if one.fault.kind is Kind.BANDWIDTH]
        self._bytes_per_s = min(limits) if limits else None
        # To be held means both ways, whatever it was bound to.
        self.line.hold(any(one.fault.kind in (Kind.HALF_OPEN, Kind.STOP_ANSWERING) for one in standings))

    def push(self, data: bytes, owner: Owner) -> None:
        now = asyncio.get_running_loop().time()
        delay = sum(late + one.random(owner).uniform(-jitter, jitter) for one, late, jitter in self._delay_s)
        self.waiting_bytes += len(data)
        for piece in self._pieces(data):
            start = max(now, self._free_at)
            if self._bytes_per_s is not None:
                self._free_at = start = start + len(piece) / self._bytes_per_s
            self.line.push(piece, start + max(delay, 0.0))

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """A narrow way lets bytes trickle, not arrive all at the end."""
        if self._bytes_per_s is None:
            yield data
            return
        size = max(int(self._bytes_per_s / WIRE_PIECES_PER_SECOND), WIRE_PIECE_BYTES_MIN)
        for at in range(0, len(data), size):
            yield data[at : at + size]

    def _leave(self, data: bytes) -> None:
        self.waiting_bytes -= len(data)
        self._out(data)


class Wire:
    """Stands between a socket and its connection from the first such fault on until all are over and nothing waits."""

    def __init__(
        self,
        transport: asyncio.Transport,
        heard: Callable[[bytes], None],
        drained: Callable[[], None],
        done: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._heard, self._drained, self._done = heard, drained, done
        self._standings: list[Standing] = []
        self._in = _Way(Direction.IN, self._arrive)
        self._out = _Way(Direction.OUT, self._leave)
        self._finishing = self._stopped = False

    def add(self, standing: Standing) -> None:
        self._standings.append(standing)
        standing.holds.add(self)
        self._set()

    def release(self, standing: Standing) -> None:
        if standing in self._standings:
            self._standings.remove(standing)
        self._set()
        self._settle()

    def _set(self) -> None:
        self._in.set(self._standings)
        self._out.set(self._standings)
        self._throttle()

    # Bytes

    def received(self, data: bytes, owner: Owner) -> None:
        self._in.push(data, owner)
        self._throttle()

    def write(self, data: bytes, owner: Owner) -> None:
        self._out.push(data, owner)

    def writable(self) -> bool:
        return self._out.waiting_bytes < WIRE_BACKLOG_BYTES_MAX

    def _throttle(self) -> None:
        """Bytes that would only wait here stay in the kernel, which makes the sender wait in the end."""
        if self._transport.is_closing():
            return
        if self._in.line.held or self._in.waiting_bytes >= WIRE_BACKLOG_BYTES_MAX:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _arrive(self, data: bytes) -> None:
        if not self._stopped:
            self._heard(data)
            self._throttle()
            self._settle()

    def _leave(self, data: bytes) -> None:
        if self._stopped:
            return
        if data:
            self._transport.write(data)
        full = not self.writable()
        if not full and not self._finishing:
            self._drained()
        self._settle()

    # The end

    def finish(self) -> None:
        """Closes the socket once everything written so far is on its way."""
        self._finishing = True
        self._settle()

    def _settle(self) -> None:
        if self._stopped or len(self._out.line) or self._out.line.held:
            return
        if self._finishing:
            self._transport.close()
        elif not self._standings and not len(self._in.line):
            self._stopped = True
            self._done()

    def stop(self) -> None:
        """The connection is gone."""
        self._stopped = True
        for standing in self._standings:
            standing.holds.discard(self)
        self._standings.clear()
        self._in.line.stop()
        self._out.line.stop()
