"""The connector's process: settings, the first cell, then everything else.

Supervisor and cell take long to load their libraries: most of the time until a number is back that has lost its container. So the
first cell loads its own while the supervisor is still loading (`service`, imported late for this).
"""

from __future__ import annotations

import asyncio
import os
import sys

from keepline.adapters.tracing import is_traced, start_tracing
from keepline_connector.cell_process import CellProcess
from keepline_connector.logs import set_up_logging
from keepline_connector.settings import BadSetting, read_settings

CELL_MODULE = "keepline_connector.cell"
# For whoever starts connectors: starting this one again would only put the other one out.
NAME_TAKEN_EXIT = 3


def main(cell_module: str = CELL_MODULE) -> None:
    """Run a connector until a signal. `cell_module` is what its cell processes run."""
    set_up_logging()
    try:
        settings = read_settings()
    except BadSetting as error:
        print(f"The connector cannot start: {error}", file=sys.stderr)  # noqa: T201 - there is no logging worth the name yet
        raise SystemExit(2) from error
    first_cell = CellProcess(cell_module)
    if is_traced(os.environ):
        start_tracing("keepline-connector", ("keepline",))
    from keepline_connector.service import NameTaken, run  # This is what takes long.

    try:
        asyncio.run(run(settings, cell_module, first_cell))
    except* NameTaken:
        print(  # noqa: T201 - the log may be elsewhere
            f"Another process has begun to run as {settings.connector}; this one ends. Give each connector a name of its own.",
            file=sys.stderr,
        )
        raise SystemExit(NAME_TAKEN_EXIT) from None
