"""What functions-framework leaves behind in the process that makes an app of it."""

from __future__ import annotations

import sys

import pytest


def leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call it before `create_app`, which writes what it was told into the environment and the path.

    Every process that a later test starts would inherit it.
    """
    for name in ("FUNCTION_TARGET", "FUNCTION_SOURCE", "FUNCTION_SIGNATURE_TYPE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))
