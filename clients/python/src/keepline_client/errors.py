"""What can go wrong, by what a program would do about it. `code` says exactly what; docs/api.md lists the codes."""

from __future__ import annotations

from typing import Any

from keepline_client.types import Message, Session


class KeeplineError(Exception):
    """Something that Keepline, or the way to it, did not do.

    `code` is stable, `message` a sentence, `hint` the next step. `status` is HTTP's, None where there was no answer.
    `request_id` names the request in Keepline's logs. `limit` and `used` are there where something is full.
    `idempotency_key` is there for what was to be sent: with it the same send can be repeated, and is still done once.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        limit: int | None = None,
        used: int | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(code, message, hint)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.limit = limit
        self.used = used
        self.idempotency_key = idempotency_key

    def __str__(self) -> str:
        return f"{self.message} {self.hint} ({self.code})".replace("  ", " ")

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, to another process: exceptions are made anew there of their arguments, and ours are more than those."""
        return _restored, (type(self), self.args, vars(self))


def _restored(kind: type[KeeplineError], arguments: tuple[Any, ...], fields: dict[str, Any]) -> KeeplineError:
    error = kind.__new__(kind, *arguments)
    vars(error).update(fields)
    return error


class BadRequest(KeeplineError):
    """The request is wrong and will be wrong again (400, 405, 413, 415)."""


class Unauthorized(KeeplineError):
    """The key or token is not good (401)."""


class Forbidden(KeeplineError):
    """The key is good, but not for this (403)."""


class NotFound(KeeplineError):
    """There is no such thing among what the key may see (404)."""


class Conflict(KeeplineError):
    """It is there, and its present state forbids this (409). With `retry_after_s` it may be allowed after that time."""


class Gone(KeeplineError):
    """It was there, and is not kept any more (410)."""


class RateLimited(KeeplineError):
    """Too often (429); nothing was done. `retry_after_s` says when again. The client has waited already as long as it may."""


class Unavailable(KeeplineError):
    """Keepline, or a part of it, did not answer (502, 503, 504). It may or may not have done what was asked."""


class NoAnswer(Unavailable):
    """No HTTP answer at all. `was_sent` is False when Keepline was not reached, so has done nothing for certain."""

    def __init__(self, code: str, message: str, hint: str, *, was_sent: bool, request_id: str | None = None) -> None:
        super().__init__(code, message, hint, request_id=request_id)
        self.was_sent = was_sent


class WaitedInVain(KeeplineError, TimeoutError):
    """What was waited for did not come in time. It still may."""


class CannotConnect(KeeplineError):
    """The session cannot connect until a person acts. The code, sentence and next step are those of `session`'s reason."""

    def __init__(self, session: Session) -> None:
        reason = session["reason"]
        super().__init__(reason["code"], reason["sentence"], reason["next_step"])
        self.session = session


class NotDelivered(KeeplineError):
    """The message has ended as failed, expired or cancelled. `ended` is the message as it is now."""

    def __init__(self, ended: Message) -> None:
        error = ended["error"]
        if error is not None:
            super().__init__(error["code"], error["message"], error["hint"])
        else:
            super().__init__(ended["state"], f"The message is {ended['state']}.")
        self.ended = ended


BY_STATUS: dict[int, type[KeeplineError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: BadRequest,
    409: Conflict,
    410: Gone,
    413: BadRequest,
    415: BadRequest,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
