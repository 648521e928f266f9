"""For tests: a simulator on a thread, and neonize clients in processes of their own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.testing.linking import link
    from simulator.testing.neonize_client import Handle, NeonizeClient, NeonizeFleet
    from simulator.testing.running import RunningSimulator

__all__ = ["Handle", "NeonizeClient", "NeonizeFleet", "RunningSimulator", "link"]

_HOMES = {
    "Handle": "simulator.testing.neonize_client",
    "NeonizeClient": "simulator.testing.neonize_client",
    "NeonizeFleet": "simulator.testing.neonize_client",
    "RunningSimulator": "simulator.testing.running",
    "link": "simulator.testing.linking",
}


def __getattr__(name: str) -> Any:
    # Loaded on use: the process of a neonize client needs its own modules of this package only, not the server.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
