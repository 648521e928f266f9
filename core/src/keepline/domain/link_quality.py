"""What the egress knows of a device's connection at a moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PathSample:
    """What is known of a device's connection at a moment; None is what the kernel does not tell."""

    at_s: float  # of a monotonic clock
    frame_age_ms: int  # since bytes last came from WhatsApp
    silent_ms: int  # since the first bytes to WhatsApp that nothing has come back after; 0 if nothing waits
    round_trip_ms: float | None = None
    retransmitted: int | None = None  # segments, since the connection began
    unacked_ms: int | None = None  # how long WhatsApp's kernel has owed an acknowledgement; 0 if it owes none
    ack_age_ms: int | None = None  # since WhatsApp's kernel was last heard of
    connection: int = 0  # which one it is of those that the cell has had
