"""W3C trace context: `00-<trace id>-<span id>-<flags>`, by which one request is followed through several systems."""

from __future__ import annotations

import re
from dataclasses import dataclass

# https://www.w3.org/TR/trace-context/#traceparent-header, version 00; ids of zeros alone are no ids.
_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True)
class Origin:
    """The request that brought a message. `traceparent` is None for one that nobody traces."""

    request_id: str | None = None
    traceparent: str | None = None

    def fields(self) -> dict[str, str]:
        """What is known of it."""
        return {name: value for name, value in vars(self).items() if value is not None}


def traceparent(header: str | None) -> str | None:
    """A caller's header if it is a whole one; what a stranger sends is not passed on."""
    return header if header is not None and _FORM.fullmatch(header) else None


def child_of(parent: str | None, entropy: bytes) -> str:
    """A span of our own, from 24 random bytes: in the caller's trace if there is one, else in a new one."""
    found = _FORM.fullmatch(parent) if parent is not None else None
    trace_id, flags = (found[1], found[3]) if found else (entropy[:16].hex(), "01")
    return f"00-{trace_id}-{entropy[16:24].hex()}-{flags}"


def trace_id_of(given: str | None) -> str | None:
    """The id of the trace."""
    found = _FORM.fullmatch(given) if given is not None else None
    return found[1] if found else None
