"""What came back: the error in an answer, the JSON or the stream in one that is none. Pure, for both clients."""

from __future__ import annotations

from typing import Any

import httpx

from keepline_client._calls import Call
from keepline_client.errors import BY_STATUS, KeeplineError, NoAnswer

# Nothing has left the client when one of these is raised.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def error_in(answer: httpx.Response, call: Call, request_id: str) -> KeeplineError:
    """The error of an answer that is no success. What stands between may have given it, so it may be of any shape."""
    try:
        error: Any = answer.json()["error"]
        code, message, hint = (str(error[name]) for name in ("code", "message", "hint"))
    except (ValueError, KeyError, TypeError):
        error = {}
        code = "no_keepline_error"
        message = f"Something answered {answer.status_code}, and it is not Keepline."
        hint = "Look at the address, and at what stands between."
    retry_after = answer.headers.get("Retry-After", "")
    return BY_STATUS.get(answer.status_code, KeeplineError)(
        code,
        message,
        hint,
        status=answer.status_code,
        request_id=answer.headers.get("X-Request-Id", request_id),
        retry_after_s=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
        limit=error.get("limit"),
        used=error.get("used"),
        idempotency_key=call.idempotency_key,
    )


def no_answer(error: httpx.RequestError, call: Call, url: str, request_id: str) -> NoAnswer:
    """The error of a request that nobody answered."""
    was_sent = not isinstance(error, _NOT_SENT)
    timed_out = isinstance(error, httpx.TimeoutException)
    found = NoAnswer(
        "no_answer" if was_sent else "not_reached",
        f"{url} {'did not answer in time' if timed_out else 'did not answer'} ({type(error).__name__}).",
        "What was asked may or may not have been done." if was_sent else "Is Keepline running, at this address?",
        was_sent=was_sent,
        request_id=request_id,
    )
    found.idempotency_key = call.idempotency_key
    return found


def json_in(answer: httpx.Response) -> Any:
    """The JSON of a success. Raises KeeplineError where there is none, so the answer was not Keepline's."""
    try:
        return answer.json()
    except ValueError:
        raise _not_keeplines(answer, "JSON") from None


def check_stream(answer: httpx.Response) -> None:
    """Raises KeeplineError for a success that is no event stream, so the answer was not Keepline's."""
    if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        raise _not_keeplines(answer, "events")


def _not_keeplines(answer: httpx.Response, expected: str) -> KeeplineError:
    return KeeplineError(
        "no_keepline_answer",
        f"Something answered {answer.status_code} without {expected}, and it is not Keepline.",
        "Look at the address, and at what stands between.",
        status=answer.status_code,
    )
