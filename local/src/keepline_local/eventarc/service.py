"""Eventarc's parts put together: the port that the emulators post to, the spool, and a lane for each function."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import waitress

from keepline_local.eventarc import triggers
from keepline_local.eventarc.delivery import STOP_WAIT_S, Lane, over_http
from keepline_local.eventarc.ingress import EVENT_BYTES_MAX, Ingress
from keepline_local.eventarc.policy import RedeliveryPolicy
from keepline_local.eventarc.spool import Spool
from keepline_local.functions_table import Function, HttpTrigger, topics
from keepline_local.ports import LOOPBACK

EVENT_THREADS = 8
CONNECTIONS_MAX = 1000


class Eventarc:
    """Listens from the moment it is made; `register` tells the emulators of it.

    spool: file that keeps events until they are delivered. port: where it listens. url_of: where a function takes events, by
    its name.
    """

    def __init__(
        self,
        project: str,
        functions: Sequence[Function],
        spool: Path,
        port: int,
        url_of: Callable[[str], str],
        policy: RedeliveryPolicy | None = None,
    ) -> None:
        policy = policy or RedeliveryPolicy()
        self._project = project
        self._functions = [function for function in functions if not isinstance(function.trigger, HttpTrigger)]
        self._port = port
        self._spool = Spool(spool)
        self._lanes = {f.name: Lane(f.name, over_http(url_of(f.name)), self._spool, policy) for f in self._functions}
        self._take_up_the_rest()
        server = waitress.create_server(
            Ingress(project, self._lanes, topics(self._functions)),
            host=LOOPBACK,
            port=port,
            threads=EVENT_THREADS,
            connection_limit=CONNECTIONS_MAX,
            max_request_body_size=EVENT_BYTES_MAX,
            asyncore_use_poll=True,
            ident=None,
        )
        threading.Thread(target=server.run, name="eventarc", daemon=True).start()

    def register(self, firestore: str, pubsub: str) -> None:
        """Tell the emulators (host:port each), once they are there; `LocalError` if one does not answer or refuses."""
        triggers.wait_for_emulator(firestore, "The Firestore emulator")
        triggers.register_firestore_triggers(firestore, self._project, self._functions)
        triggers.wait_for_emulator(pubsub, "The Pub/Sub emulator")
        triggers.create_subscriptions(self._project, self._functions, f"http://{LOOPBACK}:{self._port}/push")

    def pending(self) -> dict[str, int]:
        """How many events of each function are not delivered yet."""
        return {name: lane.pending() for name, lane in self._lanes.items()}

    def stop(self, wait_s: float = STOP_WAIT_S) -> None:
        """Begin no more deliveries, and wait up to `wait_s` seconds for the running ones; the rest stays in the spool."""
        deadline = time.monotonic() + wait_s
        for lane in self._lanes.values():
            lane.stop(0.0)
        for lane in self._lanes.values():
            lane.stop(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """After `stop`, and after the emulators have ended: until then their last events still go into the spool."""
        self._spool.close()

    def _take_up_the_rest(self) -> None:
        for spooled in self._spool.pending():
            lane = self._lanes.get(spooled.event.function)
            if lane is None:
                self._spool.remove(spooled.row)  # its function is no longer in the table
            else:
                lane.resume(spooled)
