"""A simulator on a thread of its own, for tests in the same process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from simulator.client import SimulatorClient
from simulator.server import Settings, Simulator

T = TypeVar("T")
START_STOP_SECONDS_MAX = 20.0


class RunningSimulator:
    """`with RunningSimulator() as running:` gives `running.client` (control API) and `running.about` (where and whom to trust).

    The simulator itself belongs to its thread: reach into `running.simulator` only through `call`.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.simulator = Simulator(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)
        self.about: dict[str, Any] = {}
        self.client: SimulatorClient

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.call(self.simulator.start())
        except BaseException:
            self._end_thread()
            raise
        self.about = self.simulator.describe()
        self.client = SimulatorClient(self.about["control"])
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.call(self.simulator.stop())
        self._end_thread()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the simulator's thread and waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_STOP_SECONDS_MAX)

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_STOP_SECONDS_MAX)
        self._loop.close()
