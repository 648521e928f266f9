"""What `make status` shows of the run, as a picture whose text can be selected."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from keepline_local.run_file import Run
from keepline_local.status.asking import Installation
from keepline_local.status.drawing import draw

COLUMNS = 132


def draw_status(run: Run, path: Path) -> None:
    """Into an SVG, by the code that draws it in a terminal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(draw(Installation(run.api, run.api_key).look()))
    svg = console.export_svg(title="make status")
    # The reader's own font instead of one from a third party; each line says its length, so any fits.
    path.write_text(
        re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    )
