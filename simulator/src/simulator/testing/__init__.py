"""For tests: a simulator on a thread, and neonize clients in processes of their own."""

from simulator.testing.neonize_client import NeonizeClient
from simulator.testing.running import RunningSimulator

__all__ = ["NeonizeClient", "RunningSimulator"]
