"""The dictionary of WhatsApp's binary nodes, read out of the neonize library that is installed.

The tables (about 236 one-byte and 4 × 256 two-byte tokens) are part of whatsmeow, which neonize ships compiled. They are
read from the library's file as data, so nothing is copied into this project and the Go runtime inside the library is
never started in the server's process.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from simulator.errors import SimulatorError

# Node tags below this are one-byte tokens; 236-239 select a two-byte table (whatsmeow binary/token/token.go).
SINGLE_BYTE_COUNT = 236
DOUBLE_BYTE_TABLES = 4

# R_X86_64_RELATIVE and R_AARCH64_RELATIVE: "this word holds base + addend"; Go's string pointers are such words.
_RELATIVE = {62: 8, 183: 1027}
_SHT_RELA, _PT_LOAD = 4, 1


@dataclass(frozen=True, slots=True)
class Tokens:
    """`single[i]` is the one-byte token i; `double[d][i]` the two-byte token i of table d."""

    single: tuple[str, ...]
    double: tuple[tuple[str, ...], ...]


def _missing(why: str) -> SimulatorError:
    return SimulatorError(
        "tokens_unavailable",
        f"The node dictionary could not be read: {why}",
        "Install the client library it is read from: pip install 'neonize==0.5.2'.",
        status=500,
    )


def neonize_library() -> Path:
    """The path of neonize's shared library, found without importing neonize."""
    spec = importlib.util.find_spec("neonize")
    if spec is None or not spec.submodule_search_locations:
        raise _missing("neonize is not installed.")
    for folder in spec.submodule_search_locations:
        for path in sorted(Path(folder).glob("neonize-linux-*.so")):
            return path
    raise _missing("neonize is installed, but its Linux library is not beside it.")


class _Elf:
    """The few parts of a 64-bit little-endian ELF file that lead from a Go string variable to its text."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise _missing("the library is not a 64-bit Linux library.")
        self.data = data
        machine = struct.unpack_from("<H", data, 18)[0]
        if machine not in _RELATIVE:
            raise _missing(f"machine type {machine} is not supported.")
        self.segments = list(self._segments())
        self.pointers = dict(self._pointers(_RELATIVE[machine]))

    def _segments(self) -> Iterator[tuple[int, int, int]]:
        start, size, count = *struct.unpack_from("<Q", self.data, 32), *struct.unpack_from("<HH", self.data, 54)
        for index in range(count):
            kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", self.data, start + index * size)
            if kind == _PT_LOAD:
                yield address, offset, length

    def _pointers(self, relative: int) -> Iterator[tuple[int, int]]:
        start = struct.unpack_from("<Q", self.data, 40)[0]
        size, count = struct.unpack_from("<HH", self.data, 58)
        for index in range(count):
            header = struct.unpack_from("<IIQQQQ", self.data, start + index * size)
            if header[1] != _SHT_RELA:
                continue
            section = self.data[header[4] : header[4] + header[5]]
            for address, info, addend in struct.iter_unpack("<QQq", section):
                if info == relative:
                    yield address, addend

    def at(self, address: int, size: int) -> bytes:
        for start, offset, length in self.segments:
            if start <= address and address + size <= start + length:
                return self.data[offset + address - start : offset + address - start + size]
        return b""

    def word(self, address: int) -> int:
        raw = self.at(address, 8)
        return int.from_bytes(raw, "little") if raw else -1

    def string(self, address: int) -> str:
        """The Go string whose (pointer, length) pair stands at an address."""
        length = self.word(address + 8)
        if length == 0:
            return ""
        pointer = self.pointers.get(address)
        if pointer is None or not 0 < length < 512:
            raise _missing("a token is not where it was expected.")
        return self.at(pointer, length).decode("utf-8")

    def arrays_starting_with(self, first: str, second: str) -> Iterator[int]:
        """Addresses of string arrays whose first two members are these."""
        wanted = first.encode()
        for address, pointer in self.pointers.items():
            if self.word(address + 8) != len(wanted) or self.at(pointer, len(wanted)) != wanted:
                continue
            following = self.pointers.get(address + 16)
            if following is not None and self.at(following, len(second)) == second.encode():
                yield address


def _extract(elf: _Elf) -> Tokens:
    # Token 0 is the empty string, so the array begins one string (16 bytes) before its first named member.
    for after_empty in elf.arrays_starting_with("xmlstreamstart", "xmlstreamend"):
        single = tuple(elf.string(after_empty - 16 + 16 * i) for i in range(SINGLE_BYTE_COUNT))
        break
    else:
        raise _missing("the table of one-byte tokens was not found.")
    for first_table in elf.arrays_starting_with("read-self", "active"):
        # The outer array holds slice headers (pointer, length, capacity); find the one that points at the first table.
        for address, pointer in elf.pointers.items():
            if pointer == first_table and elf.word(address + 8) == 256:
                return Tokens(single, tuple(_table(elf, address + 24 * i) for i in range(DOUBLE_BYTE_TABLES)))
    raise _missing("the tables of two-byte tokens were not found.")


def _table(elf: _Elf, header: int) -> tuple[str, ...]:
    start, length = elf.pointers[header], elf.word(header + 8)
    if not 0 < length <= 256:
        raise _missing("a table of two-byte tokens has an unexpected size.")
    return tuple(elf.string(start + 16 * i) for i in range(length))


@cache
def load_tokens(library: Path | None = None) -> Tokens:
    """The tables, read once per process (about a tenth of a second)."""
    path = library or neonize_library()
    try:
        data = path.read_bytes()
        return _extract(_Elf(data))
    except (OSError, struct.error, KeyError, UnicodeDecodeError) as problem:
        raise _missing(f"{path.name} is not readable ({problem}).") from problem
