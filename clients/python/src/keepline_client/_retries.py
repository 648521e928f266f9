"""When a call is tried again, and how long after. Pure; the clients only wait and ask."""

from __future__ import annotations

from keepline_client._calls import Call
from keepline_client.errors import KeeplineError, NoAnswer, RateLimited, Unavailable

# A pause is drawn between nothing and a bound that doubles (full jitter): who failed together does not come back together.
_FIRST_PAUSE_S_MAX = 0.25
_PAUSE_S_MAX = 8.0
# Who is told to wait longer than this has better things to do, and knows them better than a library.
RETRY_AFTER_S_MAX = 30.0


def may_have_been_done(error: KeeplineError) -> bool:
    """Whether Keepline may have carried out what it gave this error for."""
    if isinstance(error, NoAnswer):
        return error.was_sent
    return not isinstance(error, RateLimited)  # which has written nothing


def pause_s(call: Call, error: KeeplineError, tries: int, tries_max: int, chance: float) -> float | None:
    """How long to wait before the next try, after so many; None when there is to be none. `chance` is from 0 to 1."""
    if tries >= tries_max or not call.is_patient or not isinstance(error, RateLimited | Unavailable):
        return None
    if may_have_been_done(error) and not call.is_repeatable:
        return None
    asked_s = error.retry_after_s or 0.0
    if asked_s > RETRY_AFTER_S_MAX:
        return None
    bound_s = min(_PAUSE_S_MAX, _FIRST_PAUSE_S_MAX * 2.0 ** (tries - 1))
    return float(asked_s + chance * bound_s)
