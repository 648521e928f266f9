"""Just enough protobuf: the few messages the simulator reads and writes are told by field number.

Field numbers come from WhatsApp's published schema as whatsmeow ships it; each user of this module names its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from simulator.errors import ProtocolError
from simulator.limits import PROTOBUF_FIELDS_MAX

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_DOUBLE = struct.Struct("<d")
_UINT64 = 0xFFFFFFFFFFFFFFFF


class Fields:
    """A parsed message: every field's values in order, scalars and bytes alike."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[int, list[int | bytes]]) -> None:
        self._values = values

    def __contains__(self, number: int) -> bool:
        return number in self._values

    def blob(self, number: int, default: bytes = b"") -> bytes:
        """The last value of a length-delimited field (protobuf: last one wins)."""
        values = self._values.get(number)
        if not values:
            return default
        value = values[-1]
        return value if isinstance(value, bytes) else default

    def text(self, number: int) -> str:
        return self.blob(number).decode("utf-8", "replace")

    def number(self, number: int, default: int = 0) -> int:
        values = self._values.get(number)
        if not values:
            return default
        value = values[-1]
        return value if isinstance(value, int) else default

    def signed(self, number: int) -> int:
        """An int32 or int64, which may be negative."""
        value = self.number(number)
        return value - (1 << 64) if value >= 1 << 63 else value

    def decimal(self, number: int) -> float:
        """A double (the wire type FIXED64)."""
        return float(_DOUBLE.unpack(self.number(number).to_bytes(8, "little"))[0])

    def message(self, number: int) -> Fields:
        return parse(self.blob(number))

    def blobs(self, number: int) -> list[bytes]:
        """Every value of a repeated length-delimited field."""
        return [value for value in self._values.get(number, ()) if isinstance(value, bytes)]

    def texts(self, number: int) -> list[str]:
        return [value.decode("utf-8", "replace") for value in self.blobs(number)]

    def messages(self, number: int) -> list[Fields]:
        return [parse(value) for value in self.blobs(number)]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & _UINT64, at
        shift += 7
        if shift > 63:
            raise ProtocolError("bad_protobuf", "A varint is longer than ten bytes.")


def parse(data: bytes) -> Fields:
    """Every field of a message; raises `ProtocolError` on malformed input."""
    values: dict[int, list[int | bytes]] = {}
    at, end, count = 0, len(data), 0
    try:
        while at < end:
            count += 1
            if count > PROTOBUF_FIELDS_MAX:
                raise ProtocolError("bad_protobuf", "A message has too many fields.")
            key = data[at]
            at += 1
            if key >= 0x80:
                key, at = _varint(data, at - 1)
            kind = key & 7
            value: int | bytes
            if kind == BYTES:
                size = data[at]
                at += 1
                if size >= 0x80:
                    size, at = _varint(data, at - 1)
                if at + size > end:
                    raise ProtocolError("bad_protobuf", "A field runs past the end of its message.")
                value = data[at : at + size]
                at += size
            elif kind == VARINT:
                value, at = _varint(data, at)
            elif kind in (FIXED64, FIXED32):
                size = 8 if kind == FIXED64 else 4
                if at + size > end:
                    raise ProtocolError("bad_protobuf", "A field runs past the end of its message.")
                value = int.from_bytes(data[at : at + size], "little")
                at += size
            else:
                raise ProtocolError("bad_protobuf", f"Wire type {kind} is not in use.")
            values.setdefault(key >> 3, []).append(value)
    except IndexError:
        raise ProtocolError("bad_protobuf", "A message ends in the middle of a field.") from None
    return Fields(values)


def varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


Packable = int | float | bytes | str | None


def repeated(number: int, values: Iterable[Packable]) -> list[tuple[int, Packable]]:
    """The pairs of a repeated field, for `pack(*repeated(...))`."""
    return [(number, value) for value in values]


def pack(*fields: tuple[int, Packable]) -> bytes:
    """A message from (number, value) pairs: ints become varints, floats doubles, bytes and text length-delimited.

    None is left out.
    """
    out = bytearray()
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, int):
            out += varint(number << 3 | VARINT)
            out += varint(value & _UINT64)
        elif isinstance(value, float):
            out += varint(number << 3 | FIXED64)
            out += _DOUBLE.pack(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | BYTES)
            out += varint(len(raw))
            out += raw
    return bytes(out)
