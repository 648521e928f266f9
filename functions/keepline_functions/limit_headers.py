"""What is left of a limit, in headers: the IETF's (draft-ietf-httpapi-ratelimit-headers-10) and those of older clients."""

from __future__ import annotations

import math

from keepline.usecases.limiting import Charged


def limit_headers(charged: Charged | None) -> dict[str, str]:
    """The headers of an answer that has used a limit, or was refused by it.

    `q` uses in `w` seconds in the long run and `burst` at once; `r` are left now, and all of the burst in `t` seconds.
    """
    if charged is None:
        return {}
    limit, left = charged.limit, charged.verdict
    reset_s = math.ceil(left.reset_s)
    return {
        "RateLimit-Policy": f'"{limit.name}";q={limit.count};w={math.ceil(limit.period_s)};burst={limit.burst}',
        "RateLimit": f'"{limit.name}";r={left.remaining};t={reset_s}',
        "X-RateLimit-Limit": str(limit.burst),
        "X-RateLimit-Remaining": str(left.remaining),
        "X-RateLimit-Reset": str(reset_s),
    }
