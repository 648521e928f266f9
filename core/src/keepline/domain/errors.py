"""Errors that people and programs see: a stable code, a sentence, and a hint that says what to do next.

The category (the class) decides how a caller treats it; the code never changes once published.
"""

from __future__ import annotations


class KeeplineError(Exception):
    """Something Keepline can name. `code` is stable, `message` a sentence, `hint` the next step."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class InvalidInput(KeeplineError):
    """The request is wrong and will be wrong again."""


class TooLarge(KeeplineError):
    """The request is bigger than the limit."""


class Unauthenticated(KeeplineError):
    """Nobody we know asks."""


class Forbidden(KeeplineError):
    """Known, but not allowed to do this."""


class NotFound(KeeplineError):
    """There is no such thing among what the caller may see."""


class Gone(KeeplineError):
    """It was there, and is not kept any more."""


class StateConflict(KeeplineError):
    """The thing exists and its present state forbids the request."""


class NotReady(StateConflict):
    """It is being made. The same request may succeed after `retry_after_s` seconds."""

    def __init__(self, code: str, message: str, hint: str, retry_after_s: int) -> None:
        super().__init__(code, message, hint)
        self.retry_after_s = retry_after_s


class LimitReached(StateConflict):
    """There is room for `limit` of these, and `used` of them are taken."""

    def __init__(self, code: str, message: str, hint: str, *, limit: int, used: int) -> None:
        super().__init__(code, message, hint)
        self.limit = limit
        self.used = used


class Unavailable(KeeplineError):
    """A part we depend on did not answer. The same request may succeed after `retry_after_s` seconds."""

    def __init__(self, code: str, message: str, hint: str, retry_after_s: int = 1) -> None:
        super().__init__(code, message, hint)
        self.retry_after_s = retry_after_s


class TooMany(KeeplineError):
    """More than is allowed at a time. The same request may succeed after `retry_after_s` seconds."""

    def __init__(self, code: str, message: str, hint: str, retry_after_s: int) -> None:
        super().__init__(code, message, hint)
        self.retry_after_s = retry_after_s
