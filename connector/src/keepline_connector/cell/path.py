"""The kernel's part in watching the path to WhatsApp: options that find a dead one, and what it knows of a socket.

Nothing here sends a byte that WhatsApp's programs could see. A kernel or sandbox that lacks an option is named once in the log
and in the status; dead paths are then found later, by silence or by the library's own ping.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from dataclasses import dataclass

# An idle path is asked every second. What is not acknowledged for 2 s ends the socket: an idle one is found dead then, one with
# data by the retransmission timer's steps in 2.4 s (the cell calls it stalled after 1 s), and it is far above any round trip that
# a connector should live with.
USER_TIMEOUT_MS = 2_000
# With that option one unanswered probe is enough for the kernel (tcp_keepalive_timer), and the next is a second away: a single
# lost packet would end a good connection. So from here on it is asked again at each look, four times in all.
ASK_AGAIN_AFTER_MS = 1_150
_OPTIONS = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

# struct tcp_info of Linux (uapi/linux/tcp.h): 8 bytes, then u32s. Kernels give as much of it as is asked for, old ones less.
_TCP_INFO_BYTES = 160
_UNACKED, _LAST_ACK_RECV, _RTT, _TOTAL_RETRANS, _DATA_SEGS_OUT = 24, 56, 68, 100, 156

log = logging.getLogger(__name__)
_missing: set[str] = set()


@dataclass(frozen=True)
class TcpInfo:
    """What the kernel knows of a connection."""

    round_trip_ms: float
    sent: int  # segments with data, since the connection began
    retransmitted: int  # of them those that were sent again
    unacked: int  # segments on their way
    ack_age_ms: int  # since the other kernel was last heard of


def missing_options() -> frozenset[str]:
    """What this kernel was found not to have or not to tell, by name."""
    return frozenset(_missing)


def say_missing(name: str) -> None:
    """Note what this system does not have for us, and log it the first time."""
    if name not in _missing:
        _missing.add(name)
        log.warning("this system has no %s for us: dead or stopped connections are found later", name)


def watch_path(connected: socket.socket) -> None:
    """Have the kernel ask the path, and end this socket with a reset however its process may end."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Also when the process is killed: what is in the kernel's buffer then does not leave any more.
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    for name, value in _OPTIONS.items():
        try:
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        except (AttributeError, OSError):
            say_missing(name)
    tcp_info(connected)


def ask_again(connected: socket.socket) -> None:
    """Have the kernel ask an idle path at once; it does when the time of its keep-alive is set, again."""
    with contextlib.suppress(AttributeError, OSError):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _OPTIONS["TCP_KEEPIDLE"])


def tcp_info(connected: socket.socket) -> TcpInfo | None:
    """What the kernel tells, or None: some sandboxes and systems tell nothing."""
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        unacked, ack_age_ms, rtt_us, retransmitted, sent = (
            struct.unpack_from("=I", info, offset)[0]
            for offset in (_UNACKED, _LAST_ACK_RECV, _RTT, _TOTAL_RETRANS, _DATA_SEGS_OUT)
        )
    except (AttributeError, struct.error):
        say_missing("TCP_INFO")
        return None
    except OSError:
        if connected.fileno() >= 0:
            say_missing("TCP_INFO")
        return None
    return TcpInfo(rtt_us / 1000, sent, retransmitted, unacked, ack_age_ms)
