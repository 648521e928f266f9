"""functions-framework's apps: one per function of the table, all from one source file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import functions_framework
from flask import Flask

# `create_app` takes these from the environment where it is not told, and writes them back: what one call leaves there (an event's
# signature, say) would reach the next function. In the cloud each function's container has its own.
_FRAMEWORK_VARIABLES = ("FUNCTION_TARGET", "FUNCTION_SOURCE", "FUNCTION_SIGNATURE_TYPE")


def build(source: Path, entry_point: str) -> Flask:
    """The app that serves `entry_point` of `source`, as a container of its own would have it.

    functions-framework runs the source anew for each app, so every function has its own copy of the source's globals, as in the
    cloud; modules that the source imports are shared.
    """
    with _clean_environment():
        app: Flask = functions_framework.create_app(  # type: ignore[no-untyped-call]
            target=entry_point, source=str(source)
        )
    return app


@contextmanager
def _clean_environment() -> Iterator[None]:
    environment = {name: os.environ.pop(name, None) for name in _FRAMEWORK_VARIABLES}
    path = list(sys.path)
    try:
        yield
    finally:
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        # The source's folder is appended at every call; once is enough, and it has to stay for imports that happen later.
        added = [folder for folder in dict.fromkeys(sys.path) if folder not in path]
        sys.path[:] = path + added
