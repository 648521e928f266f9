"""Whether JSON has the shape that a type says: every field that must be there, and none that the type does not know."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union

from keepline_client import types as shapes

# What the client imports for type checkers only.
NAMES = {"NotRequired": typing.NotRequired, "Unpack": typing.Unpack}


def mismatches(value: Any, hint: Any, where: str = "answer") -> Iterator[str]:
    """Each place where the value is not what the type says."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if all(any(mismatches(value, one)) for one in arguments):
            yield f"{where}: {value!r} is none of {hint}"
    elif origin is Literal:
        if value not in arguments:
            yield f"{where}: {value!r} is not in {arguments}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: no list"
            return
        for number, one in enumerate(value):
            yield from mismatches(one, arguments[0], f"{where}[{number}]")
    elif origin is dict:
        for name, one in value.items():
            yield from mismatches(one, arguments[1], f"{where}.{name}")
    elif typing.is_typeddict(hint):
        yield from _fields(value, hint, where)
    elif hint is float:
        if not isinstance(value, int | float):
            yield f"{where}: {value!r} is no number"
    elif hint is type(None):
        if value is not None:
            yield f"{where}: {value!r} is not None"
    elif not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        yield f"{where}: {value!r} is no {hint}"


def _fields(value: Any, hint: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
        return
    hints = typing.get_type_hints(hint, vars(shapes), NAMES, include_extras=True)
    optional = {name for name, one in hints.items() if typing.get_origin(one) is typing.NotRequired}
    for name in hint.__required_keys__ - optional - set(value):
        yield f"{where}: {name} is missing"
    for name, one in value.items():
        if name not in hints:
            yield f"{where}: {name} is not in {hint.__name__}"
            continue
        inner = typing.get_args(hints[name])[0] if name in optional else hints[name]
        yield from mismatches(one, inner, f"{where}.{name}")
