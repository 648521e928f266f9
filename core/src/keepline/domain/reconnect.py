"""When to try again: transient failures with growing, jittered pauses; permanent ones never by themselves."""

from __future__ import annotations

BACK_OFF_BASE_S = 1.0
BACK_OFF_FACTOR = 1.5
BACK_OFF_MAX_S = 60.0


def back_off_s(failures: int, jitter: float) -> float:
    """Seconds to wait after `failures` failed tries in a row (1 for the first). `jitter` is uniform in [0, 1).

    The pause lies between half and the whole of min(base x 1.5^(n-1), 60 s): spread enough that a fleet does not come back
    in step, never so short that it is no pause.
    """
    exponent = min(failures - 1, 32)  # Beyond it the maximum holds, and the power would only overflow.
    ceiling_s = min(BACK_OFF_BASE_S * BACK_OFF_FACTOR**exponent, BACK_OFF_MAX_S)
    return ceiling_s * (0.5 + jitter / 2)
