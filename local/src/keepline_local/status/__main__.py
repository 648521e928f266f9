"""`python -m keepline_local.status [--once | --json]`: look at the local run, or at KEEPLINE_URL with KEEPLINE_API_KEY."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from rich.console import Console
from rich.live import Live

from keepline_local import run_file
from keepline_local.errors import LocalError
from keepline_local.paths import State
from keepline_local.status.asking import Installation, Picture
from keepline_local.status.drawing import draw

LOOK_S = 2.0


def main() -> int:
    """Show it once, or until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m keepline_local.status", description=__doc__)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--once", action="store_true", help="print the picture once")
    kinds.add_argument("--json", action="store_true", help="print what the API says once, for programs")
    options = parser.parse_args()
    console = Console()
    try:
        installation = _chosen()
    except LocalError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    if options.json:
        picture = installation.look()
        print(json.dumps(picture.as_json()))  # noqa: T201 - its output is for programs
        return 0 if picture.is_whole else 1
    if options.once or not console.is_terminal:
        picture = installation.look()
        console.print(draw(picture))
        return 0 if picture.is_whole else 1
    return _live(installation, console)


def _live(installation: Installation, console: Console) -> int:
    try:
        with Live(draw(Picture(installation.url)), console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(draw(installation.look()), refresh=True)
                time.sleep(LOOK_S)
    except KeyboardInterrupt:
        return 0


def _chosen() -> Installation:
    url, key = os.environ.get("KEEPLINE_URL"), os.environ.get("KEEPLINE_API_KEY")
    if url and key:
        return Installation(url, key)
    run = run_file.read(State.chosen().run_json)
    if run is None:
        raise LocalError(
            "Keepline does not run here.",
            hint="Start it with make demo; or name another one: KEEPLINE_URL=https://… KEEPLINE_API_KEY=… make status",
        )
    return Installation(run.api, run.api_key)


if __name__ == "__main__":
    sys.exit(main())
