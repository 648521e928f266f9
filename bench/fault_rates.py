"""How often the faults of a comparison strike an account in a month: guesses, the same for both sides (docs/assumptions.md).

They are those of the simulated month (tests/simulation/month.py), for one of its connectors; what that has no kind for is
guessed here.
"""

from __future__ import annotations

MONTH_S = 30 * 86_400.0

A_MONTH = {
    "reset": 120.0,  # WhatsApp or the network ends a connection 4 times a day
    "black_hole": 2.0,  # the way to WhatsApp goes dead
    "half_open": 1.0,  # acknowledged, but nobody is there: once a month
    "stop_answering": 1.0,  # the same, a layer above
    "cell_kill": 2.0,  # the process with the library crashes
    "connector_kill": 1.0,  # the container is killed
    "connector_stop": 4.0,  # the machine stands still for seconds
    "region_lost": 5 / 12,  # the machine or its region is gone: every four and every six months
    "deploy": 30.0,  # a new version every day
}
# A deploy replaces one connector after the other: after the first one the account's messages go through the second.
CONNECTORS_DEPLOYED = 2


def uptime_percent(downtime_s: dict[str, float], deploys_times: int = 1) -> float:
    """Of a month in which these faults strike as often as is assumed, each with these seconds of downtime; others do not."""
    times = {name: A_MONTH[name] * (deploys_times if name == "deploy" else 1) for name in downtime_s}
    return 100.0 * (1.0 - sum(times[name] * seconds for name, seconds in downtime_s.items()) / MONTH_S)
