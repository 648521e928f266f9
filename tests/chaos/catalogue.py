"""The faults, each with the goals that its figures are held to (seconds, p99)."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.black_hole import swallow
from tests.chaos.ground import Device, Ground, send_signal
from tests.chaos.killer import living

STOPPED_S = 6.0
REGION_AWAY_S = 10.0
LOOK_S = 0.02
# A fault that nobody notices for so long passes by itself.
NOTICE_LIMIT_S = 60.0
BOTH = ("standby", "single")


@dataclass(frozen=True)
class Struck:
    """What a fault has hit: devices that have to log in anew, and accounts whose sending it concerns."""

    gone: list[Device]
    accounts: list[str]
    mend: Callable[[], None] = lambda: None
    """Called when Keepline has noticed: what still stands in the way of its next connection goes."""
    tidy: Callable[[], None] = lambda: None
    """Called when all is whole again."""


@dataclass(frozen=True)
class Fault:
    """`gap`, `sending` and `idle` are goals by phase: of the gap, and of the detection in an account that sends or does not."""

    name: str
    strike: Callable[[Ground, str], Struck]
    gap: dict[str, float] = field(default_factory=dict)
    sending: float | None = None
    idle: float | None = None
    phases: tuple[str, ...] = BOTH
    after_restart: bool = False
    """Without a standby the gap counts from the start of the connector's next process."""
    share: float = 1.0
    """Of the usual number of repetitions."""


def nothing(ground: Ground, account: str) -> Struck:
    return Struck([], [account])


def reset(ground: Ground, account: str) -> Struck:
    device = ground.speaker(account)
    ground.whatsapp.drop_connections(device.phone, device.number)
    return Struck([device], [account])


def black_hole(ground: Ground, account: str) -> Struck:
    """All connections of a connector to WhatsApp, those of sending devices and those of idle ones."""
    connector = ground.connector_of(ground.speaker(account))
    speaking = ground.speaks_on(connector)
    gone = ground.devices_on(connector)
    swallow(ground.cells(connector), ground.stack.run.pids["simulator"])
    return Struck(gone, speaking)


def half_open(ground: Ground, account: str) -> Struck:
    """WhatsApp's kernel acknowledges, WhatsApp itself hears and says nothing."""
    return _silent(ground, ground.speaker(account), "half_open")


def stop_answering(ground: Ground, account: str) -> Struck:
    """WhatsApp reads, forgets and says nothing."""
    return _silent(ground, ground.speaker(account), "stop_answering")


def idle_half_open(ground: Ground, account: str) -> Struck:
    idle = [device for device in ground.devices() if device.account not in ground.loaded]
    return _silent(ground, ground.random.choice(idle), "half_open")


def _silent(ground: Ground, device: Device, kind: str) -> Struck:
    only_this = {"count": 1} if kind == "half_open" else {}  # the next connection is sound
    target = {"number": device.phone, "device": device.number}
    fault = ground.whatsapp.add_fault(kind, target, {"for_s": NOTICE_LIMIT_S, **only_this})
    accounts = [device.account] if device.account in ground.loaded else []

    def clear() -> None:
        ground.whatsapp.clear_faults(fault)

    # What a half-open connection holds must not flow on while its end is on its way.
    return Struck([device], accounts, tidy=clear) if only_this else Struck([device], accounts, mend=clear)


def cell_kill(ground: Ground, account: str) -> Struck:
    connector = ground.connector_of(ground.speaker(account))
    struck = Struck(ground.devices_on(connector), ground.speaks_on(connector))
    for pid in ground.cells(connector):
        send_signal(pid, signal.SIGKILL)
    return struck


def connector_kill(ground: Ground, account: str) -> Struck:
    return _signal(ground, account, signal.SIGKILL)


def deploy(ground: Ground, account: str) -> Struck:
    return _signal(ground, account, signal.SIGTERM)


def _signal(ground: Ground, account: str, number: signal.Signals) -> Struck:
    connector = ground.connector_of(ground.speaker(account))
    struck = Struck(ground.devices_on(connector), ground.speaks_on(connector))
    send_signal(ground.process(connector), number)
    return struck


def connector_stop(ground: Ground, account: str) -> Struck:
    """Its cells with it. It goes on after a while, when others have taken its place."""
    connector = ground.connector_of(ground.speaker(account))
    struck = Struck(ground.devices_on(connector), ground.speaks_on(connector))
    pid = ground.process(connector)
    send_signal(pid, signal.SIGSTOP, group=True)
    going_on = threading.Timer(STOPPED_S, _go_on, (pid,))
    going_on.daemon = True
    going_on.start()
    return Struck(struck.gone, struck.accounts, tidy=going_on.join)


def _go_on(pid: int) -> None:
    # It may have been found to hang by then, and another process started in its place.
    with contextlib.suppress(ProcessLookupError):
        send_signal(pid, signal.SIGCONT, group=True)


def region_lost(ground: Ground, account: str) -> Struck:
    """First its way to WhatsApp, which does not hear of its end; then all of its processes. It does not come back for a while.

    (Firestore does hear: its emulator would queue what it has to tell the dead for ever.)
    """
    connector = ground.connector_of(ground.speaker(account))
    struck = Struck(ground.devices_on(connector), ground.speaks_on(connector))
    pid = ground.process(connector)
    swallow(ground.cells(connector), ground.stack.run.pids["simulator"])
    send_signal(pid, signal.SIGKILL, group=True)
    away = threading.Thread(target=_keep_away, args=(ground, connector), daemon=True)
    away.start()
    return Struck(struck.gone, struck.accounts, tidy=away.join)


def _keep_away(ground: Ground, connector: str) -> None:
    deadline = time.monotonic() + REGION_AWAY_S
    while time.monotonic() < deadline:
        for pid in living(ground.stack, connector):
            try:
                send_signal(pid, signal.SIGKILL, group=True)
            except ProcessLookupError:
                continue
        time.sleep(LOOK_S)


FAULTS = (
    Fault("nothing", nothing),
    Fault("reset", reset, gap={"standby": 0.5, "single": 3.0}),
    Fault("black_hole", black_hole, sending=2.0, idle=5.0),
    Fault("half_open", half_open, sending=2.0),
    Fault("stop_answering", stop_answering, sending=2.0),
    Fault("half_open_idle", idle_half_open, idle=5.0, share=0.3),
    Fault("cell_kill", cell_kill, gap={"standby": 1.0, "single": 5.0}),
    Fault("connector_kill", connector_kill, gap={"standby": 4.0, "single": 10.0}, after_restart=True),
    Fault("connector_stop", connector_stop, gap={"standby": 4.0, "single": 10.0}),
    Fault("region_lost", region_lost, gap={"standby": 5.0}, phases=("standby",)),
    Fault("deploy", deploy, gap={"standby": 0.5, "single": 5.0}),
)
