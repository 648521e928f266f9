"""The server's half of WebSocket (RFC 6455) as whatsmeow uses it: binary messages, no extensions.

An own codec of a screen's length: client frames are unmasked with one big-integer XOR, which is several times faster than a
general library and decides how many messages a second fit on a core.
"""

from __future__ import annotations

import base64
import hashlib

from simulator.errors import ProtocolError
from simulator.limits import WEBSOCKET_MESSAGE_BYTES_MAX

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
# RFC 6455, section 1.3.
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()


def upgrade_response(key: str) -> bytes:
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """An unmasked, unfragmented frame, as servers send them."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65_536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


class Receiver:
    """Turns bytes from a client into messages: `feed` gives (opcode, payload) for each one that is complete."""

    def __init__(self, bytes_max: int = WEBSOCKET_MESSAGE_BYTES_MAX) -> None:
        # Raised once a client has proved itself.
        self.bytes_max = bytes_max
        self._buffer = b""
        self._parts: list[bytes] = []
        self._opcode = BINARY
        self._size = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        buffer = self._buffer + data if self._buffer else data
        messages: list[tuple[int, bytes]] = []
        at = 0
        while True:
            parsed = self._frame(buffer, at)
            if parsed is None:
                break
            final, opcode, payload, at = parsed
            message = self._assemble(final, opcode, payload)
            if message is not None:
                messages.append(message)
        self._buffer = buffer[at:]
        return messages

    def _frame(self, buffer: bytes, at: int) -> tuple[bool, int, bytes, int] | None:
        if len(buffer) < at + 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        if first & 0x70 or not second & 0x80:
            raise ProtocolError("bad_websocket_frame", "A WebSocket frame is unmasked or uses an extension.")
        size, at = second & 0x7F, at + 2
        extra = {126: 2, 127: 8}.get(size, 0)
        if extra:
            if len(buffer) < at + extra:
                return None
            size, at = int.from_bytes(buffer[at : at + extra], "big"), at + extra
        if size > self.bytes_max or (first & 0x08 and (size > 125 or not first & 0x80)):
            raise ProtocolError("bad_websocket_frame", "A WebSocket frame is too large.")
        end = at + 4 + size
        if len(buffer) < end:
            return None
        return bool(first & 0x80), first & 0x0F, unmask(buffer[at + 4 : end], buffer[at : at + 4]), end

    def _assemble(self, final: bool, opcode: int, payload: bytes) -> tuple[int, bytes] | None:
        if opcode >= CLOSE:
            return opcode, payload
        if (opcode == CONTINUATION) != bool(self._parts):
            raise ProtocolError("bad_websocket_frame", "WebSocket fragments are out of order.")
        if final and not self._parts:
            return opcode, payload
        if not self._parts:
            self._opcode = opcode
        self._parts.append(payload)
        self._size += len(payload)
        if self._size > self.bytes_max:
            raise ProtocolError("bad_websocket_frame", "A WebSocket message is too large.")
        if not final:
            return None
        whole, self._parts, self._size = b"".join(self._parts), [], 0
        return self._opcode, whole
