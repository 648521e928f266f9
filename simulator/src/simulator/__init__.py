"""A WhatsApp server on one machine, for tests of programs built on whatsmeow and neonize.

Public: what is exported here, `simulator.client` (control API), `simulator.trust` (for the client's process).
"""

from typing import TYPE_CHECKING, Any

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from simulator.server import Settings, Simulator
    from simulator.world import Policy

__all__ = ["Policy", "Settings", "Simulator", "SimulatorError"]

_HOMES = {"Policy": "simulator.world", "Settings": "simulator.server", "Simulator": "simulator.server"}


def __getattr__(name: str) -> Any:
    # The server is loaded on use: a client's process imports `simulator.trust` only and should stay small.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
