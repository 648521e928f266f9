"""What the person at the keyboard sees: colours on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keepline_local.errors import LocalError


class Screen:
    """Prints lines from several threads, whole."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        self._print(escape(line))

    def good(self, line: str) -> None:
        self._print(f"[green]{escape(line)}[/green]")

    def bad(self, error: LocalError) -> None:
        """The error, its hint, and the end of the log that belongs to it."""
        self._print(f"[bold red]{escape(error.sentence)}[/bold red]")
        if error.log_tail:
            self._print(f"[dim]{escape(error.log_tail)}[/dim]")
        if error.hint:
            self._print(escape(error.hint))

    def warn(self, line: str) -> None:
        self._print(f"[yellow]{escape(line)}[/yellow]")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """On a terminal a table; elsewhere aligned lines that grep likes."""
        if self._console.is_terminal:
            table = Table(*columns, header_style="bold")
            for row in rows:
                table.add_row(*(escape(cell) for cell in row))
            with self._lock:
                self._console.print(table)
            return
        widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
        for row in [columns, *rows]:
            self.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _print(self, markup: str) -> None:
        with self._lock:
            self._console.print(markup)
