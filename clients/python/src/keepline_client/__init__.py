"""A typed client of Keepline, the always-on WhatsApp gateway.

    with Keepline("http://127.0.0.1:8080", api_key) as keepline:
        message = keepline.messages.send("support", "+1 415 555 0123", "Hello")

`AsyncKeepline` is the same with `await`. Answers are the API's JSON as `keepline_client.types` describes it; errors are
`KeeplineError`s. What is sent is sent once, also when its answer gets lost and the client asks again.
"""

from keepline_client import types
from keepline_client._async.client import AsyncKeepline
from keepline_client._sync.client import Keepline
from keepline_client._version import __version__
from keepline_client.errors import (
    BadRequest,
    CannotConnect,
    Conflict,
    Forbidden,
    Gone,
    KeeplineError,
    NoAnswer,
    NotDelivered,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    WaitedInVain,
)
from keepline_client.webhook_calls import BadSignature, verify_webhook

__all__ = [
    "AsyncKeepline",
    "BadRequest",
    "BadSignature",
    "CannotConnect",
    "Conflict",
    "Forbidden",
    "Gone",
    "Keepline",
    "KeeplineError",
    "NoAnswer",
    "NotDelivered",
    "NotFound",
    "RateLimited",
    "Unauthorized",
    "Unavailable",
    "WaitedInVain",
    "__version__",
    "types",
    "verify_webhook",
]
