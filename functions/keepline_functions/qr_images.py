"""A QR code as an image and as text for a terminal."""

from __future__ import annotations

import io

import segno

# Large enough to scan from a screen at arm's length: a code of WhatsApp's length becomes about 400 pixels wide.
_PIXELS_PER_MODULE = 6
# The standard asks for 4 modules of quiet zone; phones are content with 2, and a terminal has few lines.
_TERMINAL_BORDER_MODULES = 2


def png(text: str) -> bytes:
    """A PNG image."""
    out = io.BytesIO()
    _code(text).save(out, kind="png", scale=_PIXELS_PER_MODULE)
    return out.getvalue()


def half_blocks(text: str) -> str:
    """Lines of half-block characters, two rows of modules each, for a terminal with light text on a dark ground."""
    out = io.StringIO()
    _code(text).terminal(out, border=_TERMINAL_BORDER_MODULES, compact=True)
    return out.getvalue()


def _code(text: str) -> segno.QRCode:
    # The lowest correction makes the smallest code, and a screen is neither torn nor dirty.
    return segno.make(text, error="l", boost_error=False, micro=False)
