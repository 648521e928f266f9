"""Writes docs/reliability.md wholly, and the summary in README.md between its markers. Never by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.report import plots, summary
from bench.report.results import ROOT, Result
from bench.report.runs import RUNS
from infra.checks.promises import registry

PAGE = ROOT / "docs" / "reliability.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- summary: written by make report -->\n", "<!-- end of the summary -->\n"


def write(results: summary.Results, page: Path = PAGE, readme: Path = README) -> None:
    page.write_text(rendered(results))
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}{table(results)}{END}{after}")


def rendered(results: summary.Results) -> str:
    """The page. Where a run has no result, its section says that it was not run."""
    environment = Environment(  # noqa: S701 - Markdown of our own figures, nobody else's words
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json"] = json.dumps
    environment.filters["origin"] = origin
    environment.filters["link"] = link
    return environment.get_template("reliability.md.j2").render(
        results=results,
        runs=[run for run in RUNS if run.name in results],
        not_run=[run for run in RUNS if run.name not in results],
        rows=summary.rows(results),
        promises=registry(),
        machines=sorted({described(result) for result in results.values()}),
        figures=lambda name: summary.figures(results, name),
        as_list=summary.as_list,
        loads=summary.LOADS,
        images={file.stem for file in plots.FOLDER.glob("*.svg")},
    )


def table(results: summary.Results) -> str:
    """README's: Markdown."""
    lines = ["| what | Keepline | baseline | goal | met |", "|---|---|---|---|---|"]
    for row in summary.rows(results):
        lines.append(
            f"| {row.what} | {row.shown(row.keepline)} | {row.shown(row.baseline)} | {row.goal or '–'} | {row.verdict or '–'} |"
        )
    return "\n".join(lines) + "\n"


def described(result: Result) -> str:
    """The machine."""
    machine = result.machine
    return f"{machine.cores} cores ({machine.cpu}), {machine.memory_gib} GiB, Python {machine.python}"


def origin(result: Result) -> str:
    """Where figures come from, in a line."""
    parts = [f"`{result.command}`", result.date, f"commit `{result.commit}`"]
    if result.seed is not None:
        parts.append(f"seed {result.seed}")
    parts.append(f"{result.seconds:.0f} s")
    return ", ".join(parts) + ("; **quick: small counts**" if result.quick else "")


def link(node_id: str) -> str:
    """A test as Markdown, its name linked to its file."""
    file, _, name = node_id.partition("::")
    return f"[`{name}`](../{file})"


def by_who(year: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """The year's columns: profile, device words, figures."""
    return [(profile, who, kinds[who]) for profile, kinds in year["profiles"].items() for who in ("standby", "single")]
