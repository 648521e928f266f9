"""What a phone draws under a voice note: how loud it is along its time.

Nothing is decoded for it. Opus spends more bytes where there is more to hear, so the sizes of its packets tell silence from
speech, which is what the picture is for. One with a constant rate gives none, and phones draw a line.
"""

from __future__ import annotations

from collections.abc import Iterator

# As WhatsApp's apps have it: so many bars of 0 to 100.
BARS = 64
_LOUDEST = 100
_PAGE = b"OggS"
_HEADER_BYTES = 27
_HEADERS = 2  # packets before the sound: what it is, and comments (RFC 7845, 3)
_LACED = 255  # a packet goes on in the next segment (RFC 3533, 5)


def opus_waveform(data: bytes) -> bytes | None:
    """The bars of an Opus file in Ogg; None for one that is too short, or none at all."""
    sizes = list(_packet_sizes(data))[_HEADERS:]
    if len(sizes) < BARS:
        return None
    bars = [_mean(sizes[len(sizes) * bar // BARS : len(sizes) * (bar + 1) // BARS]) for bar in range(BARS)]
    least, most = min(bars), max(bars)
    if most <= least:
        return None
    return bytes(round(_LOUDEST * (bar - least) / (most - least)) for bar in bars)


def _packet_sizes(data: bytes) -> Iterator[int]:
    at, size = 0, 0
    while data[at : at + 4] == _PAGE and len(data) >= at + _HEADER_BYTES:
        segments = data[at + _HEADER_BYTES : at + _HEADER_BYTES + data[at + _HEADER_BYTES - 1]]
        for segment in segments:
            size += segment
            if segment < _LACED:
                yield size
                size = 0
        at += _HEADER_BYTES + len(segments) + sum(segments)


def _mean(values: list[int]) -> float:
    return sum(values) / len(values)
