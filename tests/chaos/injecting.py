"""One fault after the other, each time on a whole system under a steady load, and what each did."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.catalogue import NOTICE_LIMIT_S, Fault, Struck
from tests.chaos.gaps import gap_s
from tests.chaos.ground import LOOK_S, Device, Ground
from tests.chaos.killer import living

# A transient fault after which a device is connected again within this counts as a success.
RECONNECT_LIMIT_S = 60.0
WHOLE_LIMIT_S = 90.0
# Before the next fault: long enough for a usual spacing to be known, and for what the last one left to have settled.
REST_S = 3.0
# So long at least the gap is looked for.
LOOK_AFTER_S = 4.0


@dataclass
class Figures:
    """Samples in seconds by figure (`gap`, `sending`, `idle`), and how the devices came back."""

    samples: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    came_back: int = 0
    stayed_away: list[str] = field(default_factory=list)


class Injector:
    """`phase` is `single` or `standby`; `figures` by fault are added to; `say` gets a sentence for each fault."""

    def __init__(
        self, ground: Ground, phase: str, figures: defaultdict[str, Figures], say: Callable[[str], None]
    ) -> None:
        self._ground = ground
        self._phase = phase
        self._say = say
        self._figures = figures

    def inject(self, fault: Fault) -> None:
        """Do it once and wait until the system is whole again."""
        ground, figures = self._ground, self._figures[fault.name]
        self._rest()
        account = ground.random.choice(ground.loaded)
        time.sleep(ground.random.uniform(0, 0.5))
        spoke = {account: ground.speaker(account) for account in ground.loaded}
        connector = ground.connector_of(spoke[account])
        before = living(ground.stack, connector)
        at = time.time()
        struck = fault.strike(ground, account)
        said: list[str] = []
        if fault.sending is not None or fault.idle is not None:
            said += self._detections(fault, struck, spoke, at, figures)
        restarted_at = self._restart(connector, before) if fault.after_restart and self._phase == "single" else None
        time.sleep(max(0.0, at + LOOK_AFTER_S - time.time()))
        whole = ground.wait(lambda: ground.is_whole(at, struck.gone), WHOLE_LIMIT_S)
        whole_at = time.time()
        struck.tidy()
        ground.truth.look()
        for one in struck.accounts:
            times = [accepted.at for accepted in ground.truth.accepted[ground.phones[one]]]
            gap = gap_s(times, at, whole_at)
            if restarted_at is not None:
                gap = min(gap, max(0.0, min(time for time in times if time > at) - restarted_at))
            figures.samples["gap"].append(gap)
            said.append(f"gap {gap:.2f} s")
        self._count_returns(fault, struck, at, figures)
        state = f"whole after {whole_at - at:.1f} s" if whole else f"NOT WHOLE after {whole_at - at:.0f} s"
        self._say(f"{fault.name} at {at:.3f} on {connector}, {account}: {', '.join(said)}; {state}")

    def _rest(self) -> None:
        ground = self._ground
        if self._phase == "standby":
            ground.spread()
        ground.wait(lambda: self._phase == "single" or self._is_spread(), WHOLE_LIMIT_S)
        if not ground.wait(lambda: ground.is_whole(0.0, []), WHOLE_LIMIT_S):
            self._say("the system is not whole; going on all the same")
        time.sleep(REST_S)

    def _is_spread(self) -> bool:
        holders: defaultdict[str, set[str]] = defaultdict(set)
        for device in self._ground.devices():
            holders[device.account].add(self._ground.connector_of(device))
        return all(len(names - {""}) == 2 for names in holders.values())

    def _detections(
        self, fault: Fault, struck: Struck, spoke: dict[str, Device], at: float, figures: Figures
    ) -> list[str]:
        """How long Keepline took to notice, of devices that send and of those whose accounts are quiet."""
        ground, said = self._ground, []
        sending = [device for device in struck.gone if device == spoke.get(device.account)]
        idle = [device for device in struck.gone if device.account not in ground.loaded]
        watched = [(device, "sending") for device in sending] if fault.sending is not None else []
        watched += [(device, "idle") for device in idle] if fault.idle is not None else []

        def noticed(device: Device) -> float | None:
            return ground.watching.noticed_at(device.account, device.slot, at)

        ground.wait(lambda: all(noticed(device) is not None for device, _ in watched), NOTICE_LIMIT_S)
        struck.mend()
        for device, figure in watched:
            noticed_at = noticed(device)
            seconds = noticed_at - at if noticed_at is not None else NOTICE_LIMIT_S
            figures.samples[figure].append(seconds)
            said.append(f"{figure} {device.account} {device.slot} noticed {seconds:.2f} s")
        return said

    def _restart(self, connector: str, before: list[int]) -> float | None:
        ground = self._ground
        restarted = ground.wait(lambda: living(ground.stack, connector) not in ([], before), RECONNECT_LIMIT_S)
        return time.time() - LOOK_S / 2 if restarted else None

    def _count_returns(self, fault: Fault, struck: Struck, at: float, figures: Figures) -> None:
        for device in struck.gone:
            came_at = self._ground.truth.came_at(device.phone, device.number, at)
            if came_at is not None and came_at - at <= RECONNECT_LIMIT_S:
                figures.came_back += 1
            else:
                figures.stayed_away.append(f"{fault.name} at {at:.3f}: {device.account} {device.slot}")
