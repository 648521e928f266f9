"""`make report`: runs what is measured, keeps each run's figures in bench/results/, and writes docs/reliability.md from them.

The page, its plots (docs/images/reliability/) and the summary in README.md come from the kept results alone, so `--from-results`
writes them anew without a run. `--quick` is the same shape with smaller counts, in less than ten minutes on two cores; what has
no short form is left out then. A run that gives no figures leaves those of the last one that did, and is named.

The last line is JSON: every figure of the summary, Keepline's and the baseline's. The exit code is 1 if a run gave no figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from rich.console import Console

from bench.report import history, pages, plots, summary
from bench.report.results import ROOT, Machine, Result, commit, json_lines, kept, today
from bench.report.runs import RUNS, SEED, Run

CONSOLE = Console(stderr=True, highlight=False)
# Enough for the end of a traceback.
COMPLAINTS_MAX = 2_000


def carry_out(run: Run, *, quick: bool, seed: int) -> tuple[Result, str]:
    """Run it in a process of its own, and wait. With the result comes how its complaints ended."""
    began_s = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        # A group of its own, for a run may start others, and all of them have to go when its time is up.
        process = subprocess.Popen(
            [sys.executable, *run.arguments(quick=quick, seed=seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=run.limit_s)
        except subprocess.TimeoutExpired:
            process.terminate()  # It stops what it started.
            output, _ = process.communicate()
        complaints.seek(0)
        told = complaints.read()[-COMPLAINTS_MAX:]
    result = Result(
        name=run.name,
        command=run.command(quick=quick, seed=seed),
        quick=quick,
        seed=seed if run.seeded else None,
        date=today(),
        commit=commit(),
        machine=Machine.this(),
        seconds=round(time.monotonic() - began_s, 1),
        exit_code=process.returncode,
        figures=json_lines(output),
    )
    return result, told


def main() -> int:
    names = [run.name for run in RUNS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller counts")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", choices=names, action="append", metavar="RUN", help=f"one of {', '.join(names)}")
    parser.add_argument("--from-results", action="store_true", help="run nothing, write the pages")
    arguments = parser.parse_args()
    without_figures = []
    for run in () if arguments.from_results else RUNS:
        if arguments.only and run.name not in arguments.only:
            continue
        if arguments.quick and run.quick is None:
            CONSOLE.print(f"  {run.name}: only in a full report; what is kept stays")
            continue
        with CONSOLE.status(f"{run.name}: {run.what} …"):
            result, told = carry_out(run, quick=arguments.quick, seed=arguments.seed)
        if result.figures is None:
            without_figures.append(run.name)
            CONSOLE.print(f"[red]✗[/red] {run.name}: no figures after {result.seconds:.0f} s ({result.command})")
            CONSOLE.print(told, markup=False)
            continue
        result.keep()
        mark = "[green]✓[/green]" if result.exit_code == 0 else "[yellow]•[/yellow] a goal is missed:"
        CONSOLE.print(f"{mark} {run.name} {result.seconds:.0f} s")
    results = kept()
    plots.draw(results)
    pages.write(results)
    line = summary.line(results, without_figures)
    if not arguments.from_results and not arguments.only:
        history.remember(results)
    print(json.dumps(line))
    return int(bool(without_figures))


if __name__ == "__main__":
    sys.exit(main())
