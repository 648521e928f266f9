"""Faults from JSON: the body of `POST /faults`, checked word by word."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from simulator.faults.model import OPTION_NAMES, OPTIONS, Direction, Fault, Kind, Target, When, bad
from simulator.jid import normal_number

_KINDS = ", ".join(sorted(Kind))


def fault_from_json(body: dict[str, Any]) -> Fault:
    """Raises `SimulatorError` (400) with a sentence about the first thing that is wrong."""
    body = dict(body)
    name = body.pop("kind", None)
    if not isinstance(name, str) or name not in frozenset(Kind):
        raise bad(f"`kind` must be one of {_KINDS}.")
    kind = Kind(name)
    target, when = _part(body, "target", Target), _part(body, "when", When)
    unknown = sorted(set(body) - OPTION_NAMES)
    if unknown:
        raise bad(f"A fault does not know: {', '.join(unknown)[:200]}.", f"{kind} takes: {_takes(kind)}.")
    options = {key: _value(key, value, _type_of(key)) for key, value in body.items() if value is not None}
    return Fault(kind, _target(target), _when(when), **options)


def _takes(kind: Kind) -> str:
    return ", ".join(["target", "when", *OPTIONS[kind]])


def _part(body: dict[str, Any], name: str, kind: type[Target] | type[When]) -> dict[str, Any]:
    part = body.pop(name, None)
    part = {} if part is None else part
    known = [one.name for one in fields(kind)]
    if not isinstance(part, dict) or set(part) - set(known):
        raise bad(f"`{name}` must be an object with some of: {', '.join(known)}.")
    return {key: value for key, value in part.items() if value is not None}


def _target(part: dict[str, Any]) -> Target:
    number, direction, stanza = (
        _value(key, part[key], str) if key in part else None for key in ("number", "direction", "stanza")
    )
    if direction is not None and direction not in frozenset(Direction):
        raise bad("`direction` must be in (from the client) or out (to the client).")
    return Target(
        normal_number(number) if number is not None else None,
        _value("device", part["device"], int) if "device" in part else None,
        Direction(direction) if direction else None,
        stanza,
    )


def _when(part: dict[str, Any]) -> When:
    types = {"after_s": float, "for_s": float, "count": int, "probability": float}
    return When(**{key: _value(key, value, types[key]) for key, value in part.items()})


def _type_of(name: str) -> type:
    return next(options[name].kind for options in OPTIONS.values() if name in options)


_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def _value(name: str, value: Any, kind: type) -> Any:
    given = isinstance(value, bool)
    fits = isinstance(value, kind) if kind is not float else isinstance(value, (int, float)) and math.isfinite(value)
    if not fits or given != (kind is bool):
        raise bad(f"`{name}` must be {_WORDS[kind]}.")
    return value
