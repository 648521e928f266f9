"""Start the demo, let things happen in it, take each page of the console on a desktop and on a phone: `make screenshots`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from keepline_client import Keepline
from keepline_local.stack import Stack
from simulator.client import SimulatorClient

from ..e2e.console.browser import chromium
from . import history, life, terminal
from .camera import Camera

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Exit code 1 when the pictures are larger than they may be."""
    options = _options()
    with Stack("demo") as stack, life.receiver() as receiver:
        run = stack.run
        os.environ["FIRESTORE_EMULATOR_HOST"] = run.firestore
        assert run.simulator is not None
        with Keepline(run.api, run.api_key) as keepline:
            here = life.Life(run, keepline, SimulatorClient(run.simulator))
            _say("numbers are linked")
            life.numbers_are_linked(here)
            _say("webhooks, talk, failures")
            life.webhooks_are_told(here, receiver)
            life.people_talk(here)
            life.some_fail(here)
            life.keys_are_made(here)
            life.somebody_is_told(here, receiver)
            life.one_is_banned(here)
            _say("what lies in the past")
            history.write(run)
            terminal.draw_status(run, options.out / "status.svg")
        with chromium() as browser:
            camera = Camera(browser, run, options.out)
            camera.take_all(options.only)
    return camera.sum_up()


def _say(what: str) -> None:
    print(f"  {what}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "console")
    parser.add_argument("--only", action="append", help="a page by its name; all if none is named")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
