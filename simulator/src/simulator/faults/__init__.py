"""Everything that can be broken on purpose: what a fault is (`model`), which ones stand (`registry`), and what they do to
bytes (`wire`) and stanzas (`gate`)."""

from simulator.faults.model import Direction, Fault, Kind, Target, When

__all__ = ["Direction", "Fault", "Kind", "Target", "When"]
