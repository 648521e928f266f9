"""A cell: one process with the WhatsApp library and the devices it holds. Importing this package starts the Go runtime."""

from keepline_connector.cell.process import main

__all__ = ["main"]
