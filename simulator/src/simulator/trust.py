"""For the client's process: makes the neonize that is loaded there trust a simulator. Imports nothing else of this package.

whatsmeow checks the server's certificates against one 32-byte key that is compiled in. In a test process it is overwritten in
the loaded library's writable memory; nothing on disk changes, and another process is not affected. The keep-alive times stand
in the same memory, so that tests of dead connections need not wait for minutes.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

# whatsmeow handshake.go, `WACertPubKey`.
WHATSAPP_NOISE_ROOT = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")
# whatsmeow keepalive.go: response deadline, interval min and max, time until a forced reconnect; nanoseconds.
_KEEPALIVE = struct.Struct("<4q")
KEEPALIVE_SECONDS = (10.0, 20.0, 30.0, 180.0)
# whatsmeow request.go, `defaultRequestTimeout`: a constant, so it stands in the machine code, each time as the operand of
# `movabs $75e9, %rdx` (send.go once, request.go twice as inlined in neonize 0.5.2 for x86-64).
REQUEST_TIMEOUT_SECONDS = 75.0
_MOVABS_RDX = b"\x48\xba"
_REQUEST_TIMEOUTS = 3

# Where the values were found in this process, so that they can be changed again.
_found: dict[str, int] = {}
_request_timeouts: list[int] = []


class TrustError(RuntimeError):
    """The loaded client library is not as expected."""


def environment(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Variables that must be in a client's environment before neonize is imported there (Go reads them at load).

    `NEONIZE_BOT_TAG=off` keeps neonize from marking its messages as a bot's.
    """
    return {"SSL_CERT_FILE": str(Path(folder, "ca.pem").resolve()), "NEONIZE_BOT_TAG": "off"}


def trust_this_simulator(noise_root: bytes | str) -> None:
    """Replaces WhatsApp's Noise root by a simulator's (32 bytes or hex). Call after importing neonize, before connecting."""
    root = bytes.fromhex(noise_root.strip()) if isinstance(noise_root, str) else noise_root
    if len(root) != 32:
        raise TrustError(f"A Noise root has 32 bytes, not {len(root)}.")
    _overwrite("noise_root", WHATSAPP_NOISE_ROOT, root)


def set_keepalive(
    response_deadline: float = KEEPALIVE_SECONDS[0],
    interval_min: float = KEEPALIVE_SECONDS[1],
    interval_max: float = KEEPALIVE_SECONDS[2],
    max_fail_time: float = KEEPALIVE_SECONDS[3],
) -> None:
    """Replaces whatsmeow's four keep-alive times (seconds); without arguments, puts the real ones back."""
    if not 0 < interval_min < interval_max:
        raise TrustError(
            "interval_min must be positive and smaller than interval_max (whatsmeow draws a time between them)."
        )
    times = (response_deadline, interval_min, interval_max, max_fail_time)
    _overwrite("keepalive", _nanoseconds(KEEPALIVE_SECONDS), _nanoseconds(times))


def set_request_timeout(seconds: float = REQUEST_TIMEOUT_SECONDS) -> None:
    """Replaces the 75 s for which whatsmeow waits for an ack or an answer. x86-64 only; before connecting."""
    if not seconds > 0:
        raise TrustError("A timeout is longer than 0 s.")
    code = _MOVABS_RDX + _nanoseconds((REQUEST_TIMEOUT_SECONDS,) * 4)[:8]
    if not _request_timeouts:
        found = [at + len(_MOVABS_RDX) for region in _regions("r-xp") for at in _places(region, code)]
        if len(found) != _REQUEST_TIMEOUTS:
            raise TrustError(
                f"The request timeout was found {len(found)} times in the loaded neonize library instead of "
                f"{_REQUEST_TIMEOUTS}; this works with neonize 0.5.2 on x86-64 only."
            )
        _request_timeouts.extend(found)
    # The kernel lets a process write to its own read-only pages this way; they become private copies.
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        for at in _request_timeouts:
            memory.seek(at)
            memory.write(int(seconds * 1e9).to_bytes(8, "little"))


def _nanoseconds(seconds: tuple[float, ...]) -> bytes:
    return _KEEPALIVE.pack(*(int(one * 1e9) for one in seconds))


def _overwrite(name: str, expected: bytes, replacement: bytes) -> None:
    if name not in _found:
        places = [address for region in _regions("rw") for address in _places(region, expected)]
        if len(places) != 1:
            raise TrustError(
                f"{name} was found {len(places)} times in the loaded neonize library instead of once; "
                "this version is not the one the simulator was written for (neonize 0.5.2)."
            )
        _found[name] = places[0]
    ctypes.memmove(_found[name], replacement, len(replacement))


def _places(region: tuple[int, int], wanted: bytes) -> Iterator[int]:
    start, end = region
    memory = ctypes.string_at(start, end - start)
    at = memory.find(wanted)
    while at >= 0:
        yield start + at
        at = memory.find(wanted, at + 1)


def _regions(permissions: str) -> list[tuple[int, int]]:
    """The library's memory: `rw` for its initialised variables, `r-xp` for its code."""
    if not sys.platform.startswith("linux"):
        raise TrustError("This works on Linux only: it reads /proc/self/maps.")
    regions = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        parts = line.split(None, 5)
        if len(parts) == 6 and "neonize-linux-" in parts[5] and parts[1].startswith(permissions):
            start, _, end = parts[0].partition("-")
            regions.append((int(start, 16), int(end, 16)))
    if not regions:
        raise TrustError("neonize is not loaded in this process. Import it first (after setting the environment).")
    return regions
