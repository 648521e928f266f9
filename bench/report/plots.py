"""The page's plots, as SVG: the same figures give the same bytes. Text stays text, so that it can be read and searched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

from bench.report.results import ROOT
from bench.report.summary import Results, figures

FOLDER = ROOT / "docs" / "images" / "reliability"
OURS, THEIRS, GREY = "#1f7a5c", "#c2603a", "#8a8f98"
# Names inside the file are made from this and not from the moment; no font of this machine is drawn into it.
STYLE = {"svg.hashsalt": "keepline", "svg.fonttype": "none", "font.family": "sans-serif", "axes.spines.top": False}
STYLE |= {"axes.spines.right": False, "figure.figsize": (8.0, 3.8), "font.size": 10}


def draw(results: Results, folder: Path = FOLDER) -> None:
    """Each plot for which there are figures."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):  # type: ignore[arg-type] # its type is the list of all its names
        if downtime := figures(results, "compare"):
            _downtime(downtime, folder / "downtime.svg")
        if year := figures(results, "year"):
            _year(year, folder / "year.svg")
            _tornado(year, folder / "sensitivity.svg")
        if costs := figures(results, "costs"):
            _costs(costs, folder / "costs.svg")


def _save(figure: Any, file: Path, title: str) -> None:
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None, "Creator": None, "Title": title})
    plt.close(figure)
    # Lines end without spaces, as everywhere in this repository.
    file.write_text("".join(line.rstrip() + "\n" for line in file.read_text().splitlines()))


def _downtime(compared: dict[str, Any], file: Path) -> None:
    ours, theirs = (compared[side]["downtime_s"] for side in ("keepline", "baseline"))
    faults = list(ours)
    figure, axes = plt.subplots()
    for offset, (side, colour, label) in enumerate(((ours, OURS, "Keepline"), (theirs, THEIRS, "baseline"))):
        # On a logarithmic axis nothing is nowhere: a hundredth of a second is as good as none.
        values = [max(0.01, (side.get(fault) or {}).get("median") or 0.01) for fault in faults]
        axes.barh([place + 0.4 * offset for place in range(len(faults))], values, 0.38, color=colour, label=label)
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("seconds without sending, median (dashed: the goal)")
    axes.set_yticks([place + 0.2 for place in range(len(faults))], [fault.replace("_", " ") for fault in faults])
    axes.invert_yaxis()
    axes.legend(frameon=False)
    _save(figure, file, "Downtime for each fault")


def _year(year: dict[str, Any], file: Path) -> None:
    figure, axes = plt.subplots()
    bars = [(profile, who) for profile in year["profiles"] for who in ("standby", "single")]
    lefts = [0.0] * len(bars)
    kinds = [kind for kind in year["rates_a_month"] if kind != "whatsapp"]
    kinds.sort(key=lambda kind: -sum(year["profiles"][p][w]["down_min_by_kind"][kind] for p, w in bars))
    colours = [mpl.colormaps["tab20"](number) for number in range(20)]
    for number, kind in enumerate(kinds):
        widths = [year["profiles"][profile][who]["down_min_by_kind"][kind] for profile, who in bars]
        if any(width >= 0.1 for width in widths):
            axes.barh(range(len(bars)), widths, left=lefts, color=colours[number], label=kind.replace("_", " "))
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    goal_min = (100 - year["goal_percent"]) / 100 * 365 * 24 * 60
    axes.axvline(goal_min, color=GREY, linestyle="--", linewidth=1)
    labels = [f"{profile}, {'standby' if who == 'standby' else 'one device'}" for profile, who in bars]
    axes.set_yticks(range(len(bars)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("minutes down a year (dashed: the goal)")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, file, "A simulated year, by fault")


def _tornado(year: dict[str, Any], file: Path) -> None:
    found = list(reversed(year["sensitivity"]))
    base = year["profiles"]["extreme"]["standby"]["down_min_a_year"]
    figure, axes = plt.subplots(figsize=(8.0, 4.6))
    for colour, key, label in ((OURS, "halved_min", "halved"), (THEIRS, "doubled_min", "doubled")):
        axes.barh(range(len(found)), [one[key] - base for one in found], left=base, color=colour, label=label)
    axes.axvline(base, color=GREY, linewidth=1)
    axes.set_yticks(range(len(found)), [one["assumption"].replace("_", " ") for one in found])
    axes.set_xlabel("minutes down a year, profile extreme with a standby")
    axes.legend(frameon=False)
    _save(figure, file, "What each assumption matters")


def _costs(costs: dict[str, Any], file: Path) -> None:
    figure, axes = plt.subplots()
    for profile, style in (("extreme", "-"), ("normal", "--")):
        for standby, colour, words in ((True, OURS, "with a standby"), (False, THEIRS, "without")):
            points = [p for p in costs["curve"] if (p["profile"], p["standby"]) == (profile, standby)]
            axes.plot(
                [point["accounts"] for point in points],
                [point["usd_per_account_month"] for point in points],
                style,
                color=colour,
                marker="o",
                markersize=4,
                label=f"{profile}, {words}",
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("accounts")
    axes.set_ylabel("US dollars for an account and month")
    axes.legend(frameon=False)
    _save(figure, file, "What an account costs")
