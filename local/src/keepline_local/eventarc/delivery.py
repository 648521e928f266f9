"""Deliver events to one function: at least once, unordered, several at a time, again after a failure."""

from __future__ import annotations

import heapq
import itertools
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from keepline_local import loopback_http
from keepline_local.eventarc.events import Event
from keepline_local.eventarc.policy import RedeliveryPolicy
from keepline_local.eventarc.spool import Spool, Spooled

WORKERS_PER_FUNCTION = 8
EVENTS_PER_FUNCTION_MAX = 10_000
STOP_WAIT_S = 2.0
FUNCTION_TIMEOUT_S = 540.0  # what Cloud Run functions grant an event

_log = logging.getLogger(__name__)

Invoke = Callable[[Event], int]
"""Runs the function with an event; gives the HTTP status it answered with."""


def over_http(url: str) -> Invoke:
    """Deliver as a POST to the URL, where functions-framework takes it."""

    def invoke(event: Event) -> int:
        answer = loopback_http.send("POST", url, event.body, dict(event.headers), timeout_s=FUNCTION_TIMEOUT_S)
        return answer.status

    return invoke


class Lane:
    """The queue of one function and the threads that work on it. One function's trouble does not hold up another's events."""

    def __init__(
        self,
        function: str,
        invoke: Invoke,
        spool: Spool,
        policy: RedeliveryPolicy,
        *,
        workers: int = WORKERS_PER_FUNCTION,
        events_max: int = EVENTS_PER_FUNCTION_MAX,
    ) -> None:
        self.function = function
        self._invoke = invoke
        self._spool = spool
        self._policy = policy
        self._events_max = events_max
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Spooled]] = []  # a heap by the moment (monotonic seconds)
        self._order = itertools.count()
        self._running = 0
        self._failing = False
        self._full = False
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{function}-{number}", daemon=True) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def pending(self) -> int:
        """Events queued, waiting to be tried again, or being delivered."""
        with self._changed:
            return len(self._due) + self._running

    def accept(self, event: Event) -> bool:
        """Take an event for delivery; False if the queue is full and the event was dropped."""
        with self._changed:
            full = len(self._due) >= self._events_max
            if full and not self._full:
                _log.error(
                    "%s: %d events wait; new ones are dropped until it catches up", self.function, self._events_max
                )
            elif self._full and not full:
                _log.info("%s: takes events again", self.function)
            self._full = full
        if full:
            return False
        self._queue(self._spool.add(event, time.time()), 0.0)
        return True

    def resume(self, spooled: Spooled) -> None:
        """Take up an event that an earlier process left."""
        self._queue(spooled, 0.0)

    def stop(self, wait_s: float = STOP_WAIT_S) -> None:
        """Begin no more deliveries and wait for the running ones; what is left stays in the spool."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _queue(self, spooled: Spooled, delay_s: float) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + delay_s, next(self._order), spooled))
            self._changed.notify()

    def _work(self) -> None:
        while (spooled := self._next()) is not None:
            try:
                self._deliver(spooled)
            except sqlite3.Error:
                # A full disk, say: the event stays in the spool and comes back with the next start.
                _log.exception("%s: an event could not be settled", self.function)
            finally:
                with self._changed:
                    self._running -= 1

    def _next(self) -> Spooled | None:
        with self._changed:
            while not self._stopped:
                wait_s = self._due[0][0] - time.monotonic() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    self._running += 1
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait_s)
            return None

    def _deliver(self, spooled: Spooled) -> None:
        try:
            status = self._invoke(spooled.event)
        except OSError:
            status = 503  # the functions host is down or was killed on the way; it is started again
        if 200 <= status < 300:
            self._spool.remove(spooled.row)
            self._note(failing=False, status=status)
            return
        self._note(failing=True, status=status)
        failures = spooled.failures + 1
        age_s = time.time() - spooled.received_at_s
        delay_s = self._policy.delay_s(failures, age_s)
        if delay_s is None:
            self._spool.remove(spooled.row)
            _log.error(
                "%s: event %s given up after %d tries in %.0f s", self.function, spooled.event.id, failures, age_s
            )
            return
        self._spool.failed(spooled.row, failures)
        self._queue(replace(spooled, failures=failures), delay_s)

    def _note(self, *, failing: bool, status: int) -> None:
        with self._changed:
            changed, self._failing = failing != self._failing, failing
        if changed and failing:
            _log.warning("%s: answered an event with %d; it will be delivered again", self.function, status)
        elif changed:
            _log.info("%s: takes its events again", self.function)
