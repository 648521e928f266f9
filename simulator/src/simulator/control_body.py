"""Request bodies of the control API: known fields are taken out one by one, and what is wrong or left over is a clear 4xx."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from simulator.errors import SimulatorError
from simulator.limits import RECEIPT_IDS_MAX

_MISSING = object()


def read_body(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw or b"{}")
    except ValueError as problem:
        raise SimulatorError("bad_json", f"The body is not JSON: {problem}.") from None
    if not isinstance(body, dict):
        raise SimulatorError("bad_json", "The body must be a JSON object.")
    return body


class Body:
    """Takes known fields out of a request body; `done` refuses what is left."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = dict(fields)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def _take(self, name: str, default: Any, kind: type | tuple[type, ...], what: str) -> Any:
        value = self._fields.pop(name, default)
        if value is _MISSING:
            raise SimulatorError("missing_field", f"`{name}` is missing.", f"It must be {what}.")
        if value is not default and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise SimulatorError("bad_field", f"`{name}` must be {what}.")
        return value

    def text(self, name: str, default: str | object | None = _MISSING) -> str | None:
        value: str | None = self._take(name, default, str, "a text")
        return value

    def string(self, name: str, default: str | object = _MISSING) -> str:
        return str(self._take(name, default, str, "a text"))

    def integer(self, name: str, default: int | object | None = _MISSING) -> int | None:
        value: int | None = self._take(name, default, int, "a whole number")
        return value

    def count(self, name: str, default: int | object = _MISSING) -> int:
        """A whole number that is not negative."""
        value = int(self._take(name, default, int, "a whole number"))
        if value < 0:
            raise SimulatorError("bad_field", f"`{name}` must not be negative.")
        return value

    def number(self, name: str, default: float | object = _MISSING) -> float:
        return float(self._take(name, default, (int, float), "a number"))

    def flag(self, name: str, default: bool | object = _MISSING) -> bool:
        return bool(self._take(name, default, bool, "true or false"))

    def data(self, name: str, default: str | object = _MISSING) -> bytes:
        """Bytes, given as base64."""
        try:
            return base64.b64decode(self.string(name, default), validate=True)
        except (binascii.Error, ValueError):
            raise SimulatorError("bad_field", f"`{name}` must be base64.") from None

    def texts(self, name: str) -> list[str]:
        value: list[str] = self._take(name, _MISSING, list, "a list of texts")
        if not value or len(value) > RECEIPT_IDS_MAX or not all(isinstance(one, str) for one in value):
            raise SimulatorError("bad_field", f"`{name}` must be a list of 1 to {RECEIPT_IDS_MAX} texts.")
        return value

    def strings(self, name: str) -> list[str]:
        """A list of texts that may be empty or missing."""
        if not self._fields.get(name):
            value = self._take(name, [], list, "a list of texts")
            return list(value)
        return self.texts(name)

    def done(self) -> None:
        if self._fields:
            names = ", ".join(sorted(self._fields))[:200]
            raise SimulatorError("unknown_field", f"This request does not know: {names}.", "Leave it out.")


def error_body(problem: SimulatorError) -> dict[str, Any]:
    return {"error": {"code": problem.code, "message": problem.message, "hint": problem.hint}}
