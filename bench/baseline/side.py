"""The baseline's side of the comparison: its containers, their load, one fault after the other, and what became of it all.

Each account is a container of its own, as such gateways are run. The silent faults take minutes, so each of them has a container
to itself, beside the one that has all the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench.baseline.container import Container
from bench.baseline.faults import SILENT, STRIKES, Target, deploy
from bench.baseline.observing import Inbox, StatusWatch, wait_until_idle
from simulator.client import SimulatorClient
from tests.chaos.checker import Verdict, check
from tests.chaos.gaps import gap_s
from tests.chaos.injecting import LOOK_AFTER_S, RECONNECT_LIMIT_S, REST_S
from tests.chaos.load import FRIENDS_FROM, Book, Chat, Load
from tests.chaos.truth import Truth

FIRST_PHONE = 14155560000
FIRST_FRIEND = FRIENDS_FROM + 5_000
LINK_LIMIT_S = 60.0
WHOLE_LIMIT_S = 90.0
SETTLE_LIMIT_S = 60.0
FLOWING_S = 1.5
LOOK_S = 0.05


@dataclass
class Side:
    """What one side has shown. Seconds by fault; `verdicts` by round."""

    gaps: dict[str, list[float]] = field(default_factory=dict)
    detections: list[float] = field(default_factory=list)
    came_back: int = 0
    stayed_away: int = 0
    second_qr: int = 0
    operator_restarts: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    """What a client must never meet."""


@dataclass(frozen=True)
class Options:
    """`patience_s`: how long a silent fault is left alone before a person restarts the gateway."""

    faults: tuple[str, ...]
    chats: int
    rate_per_s: float
    inbound_per_s: float
    patience_s: float
    seed: str


class Baseline:
    """One round, from `start` to `finish`; its figures go into `side`."""

    def __init__(
        self,
        options: Options,
        control: str,
        simulator: Path,
        pid: int,
        folder: Path,
        side: Side,
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._whatsapp = SimulatorClient(control)
        self._simulator_pid = pid
        self._side = side
        self._say = say
        self._truth = Truth(control)
        lanes = [tuple(name for name in options.faults if name not in SILENT)]
        lanes += [(name,) for name in options.faults if name in SILENT]
        self._lanes = [lane for lane in lanes if lane]
        self._inbox = Inbox(len(self._lanes))
        self._containers: list[Container] = []
        self._chats: list[Chat] = []
        self._loads: list[Load] = []
        for number in range(len(self._lanes)):
            phone = str(FIRST_PHONE + number)
            (own := folder / phone).mkdir(parents=True)
            container = Container(phone, simulator, control, own, self._inbox.url(number))
            friends = [str(FIRST_FRIEND + number * options.chats + one) for one in range(options.chats)]
            chats = [Chat(phone, phone, friend) for friend in friends]
            seed = f"{options.seed} baseline {number}"
            rate, inbound = options.rate_per_s, options.inbound_per_s
            load = Load(container.api, "", control, chats, rate, seed, inbound_rate=inbound, steady=True)
            self._containers.append(container)
            self._loads.append(load)
            self._chats += chats
        self._watches: list[StatusWatch] = []

    def start(self) -> None:
        """Link all, and let the load begin."""
        for container in self._containers:
            container.start()
            self._watches.append(StatusWatch(container))
        for watch in self._watches:
            if not _wait(lambda watch=watch: watch.is_connected, LINK_LIMIT_S):  # type: ignore[misc]
                raise SystemExit("a baseline gateway did not connect")
        for load in self._loads:
            load.start()

    def strike_all(self) -> None:
        """Each lane in its own thread; returns when all are through."""
        threads = [
            threading.Thread(target=self._run_lane, args=(number,), name=f"lane {number}", daemon=True)
            for number in range(len(self._lanes))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def finish(self) -> None:
        """End the load, let the queues run empty, compare."""
        books = [load.stop() for load in self._loads]
        if not wait_until_idle(self._watches, SETTLE_LIMIT_S):
            self._say("the baseline still has something to send, and is left with it")
        time.sleep(FLOWING_S)
        self._side.verdicts.append(self._judge(books))
        self._side.troubles += [fault for book in books for fault in book.faults]

    def stop(self) -> None:
        """Everything that was started here ends."""
        for watch in self._watches:
            watch.stop()
        for container in self._containers:
            container.stop()
        self._truth.stop()
        self._inbox.stop()

    def _judge(self, books: Sequence[Book]) -> Verdict:
        shown = {
            chat.friend: [
                one["text"]
                for one in self._whatsapp.inbox(chat.friend)
                if one["from"] == chat.phone and not one["waiting"]
            ]
            for chat in self._chats
        }
        recorded = {
            container.phone: heard for container, heard in zip(self._containers, self._inbox.heard, strict=True)
        }
        # It keeps no states of messages, so there is nothing to compare with receipts.
        return check(
            [one for book in books for one in book.sent], shown, {}, (), [s for b in books for s in b.said], recorded
        )

    def _run_lane(self, number: int) -> None:
        random = Random(f"{self._options.seed} baseline faults {number}")  # noqa: S311 - a simulation
        for fault in self._lanes[number]:
            self._inject(number, fault, random)

    def _inject(self, number: int, fault: str, random: Random) -> None:
        container, watch = self._containers[number], self._watches[number]
        _wait(lambda: self._is_whole(container, watch), WHOLE_LIMIT_S)
        time.sleep(REST_S + random.uniform(0, 0.5))
        device = self._device(container)
        target = Target(container, device, self._whatsapp, self._simulator_pid)
        at = time.time()
        mend = STRIKES[fault](target)
        said = []
        if fault in SILENT:
            noticed = _wait(lambda: watch.noticed_at(at) is not None, self._options.patience_s)
            detection_s = (watch.noticed_at(at) or time.time()) - at
            self._side.detections.append(detection_s)
            said.append(f"noticed after {detection_s:.1f} s" if noticed else f"not noticed in {detection_s:.0f} s")
            self._side.operator_restarts += not noticed
            mend()
        time.sleep(max(0.0, at + LOOK_AFTER_S - time.time()))
        if not _wait(lambda: self._is_whole(container, watch), WHOLE_LIMIT_S):
            self._side.operator_restarts += 1
            said.append("restarted by hand")
            container.lose(0.0)
            _wait(lambda: self._is_whole(container, watch), WHOLE_LIMIT_S)
        self._truth.look()
        times = [one.at for one in self._truth.accepted[container.phone]]
        gap = gap_s(times, at, time.time())
        self._side.gaps.setdefault(fault, []).append(gap)
        came_at = self._truth.came_at(container.phone, device, at)
        if STRIKES[fault] is deploy:
            self._side.second_qr += 1
        if came_at is not None and came_at - at <= RECONNECT_LIMIT_S:
            self._side.came_back += 1
        else:
            self._side.stayed_away += 1
        said.append(f"gap {gap:.2f} s")
        self._say(f"{fault} at {at:.3f}: {', '.join(said)}")

    def _device(self, container: Container) -> int:
        return max(int(one["device"]) for one in self._whatsapp.devices(container.phone))

    def _is_whole(self, container: Container, watch: StatusWatch) -> bool:
        accepted = self._truth.accepted[container.phone]
        flows = bool(accepted) and time.time() - accepted[-1].at < FLOWING_S
        return watch.is_connected and flows and not watch.queued > FLOWING_S * self._options.rate_per_s


def _wait(look: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True
