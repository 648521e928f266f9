"""Ending a connection that somebody reads from. Shared by both clients."""

from __future__ import annotations

import contextlib
import socket

import httpx


def hang_up(answer: httpx.Response) -> None:
    """Have whoever waits for more of an answer see its end now. Closing alone does not wake a thread that reads."""
    stream = answer.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
