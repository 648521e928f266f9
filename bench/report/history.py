"""bench/history.jsonl: ratios of every report, a line each; `make bench-compare` holds the newest to the last release's.

Only ratios and counts are kept, for times belong to the machine on which they were taken. A figure that is worse than the last
release's by more than its tolerance is a regression, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

from bench.report.results import ROOT, commit, kept, today
from bench.report.summary import Results, as_list, figures

HISTORY = ROOT / "bench" / "history.jsonl"


@dataclass(frozen=True)
class Ratio:
    """`tolerance`: how much worse it may be, as a share of the last release's figure; runs of one tree differ by less."""

    key: str
    tolerance: float
    more_is_better: bool = False

    def worse(self, now: float, before: float) -> bool:
        """Beyond the tolerance."""
        change = before - now if self.more_is_better else now - before
        return change > self.tolerance * abs(before) + 1e-9


RATIOS = (
    Ratio("accept_to_wire_ratio", 0.30),
    Ratio("throughput_ratio", 0.30, more_is_better=True),
    Ratio("documents_per_message", 0.10),
    Ratio("commits_per_message", 0.15),
    Ratio("mb_per_session", 0.15),
    Ratio("api_100_users_success", 0.001, more_is_better=True),
    Ratio("year_down_min", 0.50),
    Ratio("lost", 0.0),
    Ratio("duplicated", 0.0),
)


def ratios(results: Results) -> dict[str, float]:
    """Of the runs that have results; of a quick one only what does not depend on its counts."""
    wire, compared = figures(results, "wire"), figures(results, "compare")
    year = figures(results, "year").get("profiles", {}).get("extreme", {}).get("standby", {})
    sessions: dict[str, Any] = (as_list(figures(results, "sessions")) or [{}])[-1]
    load: dict[str, Any] = next((one for one in as_list(figures(results, "api_load")) if one["users"] == 100), {})
    found = {
        "accept_to_wire_ratio": wire.get("ratio"),
        "throughput_ratio": wire.get("throughput_ratio"),
        "documents_per_message": wire.get("documents_per_message"),
        "commits_per_message": wire.get("commits_per_message"),
        # A few devices share what a cell has before its first one, so only like is compared with like.
        f"mb_per_session_{sessions.get('devices')}": sessions.get("mb_per_session"),
        "api_100_users_success": load.get("success"),
        "year_down_min": year.get("down_min_a_year"),
        "lost": compared.get("keepline", {}).get("lost"),
        "duplicated": compared.get("keepline", {}).get("duplicated"),
    }
    return {key: value for key, value in found.items() if value is not None}


def remember(results: Results, release: str | None = None) -> None:
    """Add a line: of a report, or of a release."""
    line = {"date": today(), "commit": commit(), "release": release, "ratios": ratios(results)}
    with HISTORY.open("a") as file:
        file.write(json.dumps(line) + "\n")


def last_release(lines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The newest line of a release."""
    return next((line for line in reversed(lines) if line["release"]), None)


def regressions(now: dict[str, float], before: dict[str, float]) -> list[str]:
    """What has become worse by more than it may, in sentences."""
    found = []
    for ratio in RATIOS:
        for key in sorted(now.keys() & before.keys()):
            if key.startswith(ratio.key) and ratio.worse(now[key], before[key]):
                found.append(
                    f"{key}: {now[key]:g}, the last release had {before[key]:g} (tolerance {ratio.tolerance:.1%})"
                )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", help="add the kept results as the line of this release, instead of comparing")
    arguments = parser.parse_args()
    results = kept()
    if arguments.release:
        remember(results, arguments.release)
        return 0
    lines = [json.loads(line) for line in HISTORY.read_text().splitlines()] if HISTORY.exists() else []
    before = last_release(lines)
    if before is None:
        print("bench/history.jsonl has no release to compare with", file=sys.stderr)
        return 1
    now = ratios(results)
    for key, value in now.items():
        print(f"{key:28} {value:>10g}   {before['release']}: {before['ratios'].get(key, '–')}")
    found = regressions(now, before["ratios"])
    for problem in found:
        print(f"worse: {problem}")
    print(json.dumps({"release": before["release"], "now": now, "then": before["ratios"], "worse": found}))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
