"""Firebase Hosting on one machine: the console's files, with the headers and rewrites of `firebase.json`.

What only a local run has (its own `/console.json`, ways to the emulator and the simulator) is given as `own`.
"""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.security import safe_join
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Hosting:
    """Serves `public`; a path with no file there goes through the rewrites, the first that matches.

    `own` comes first: apps by the beginning of the path, or by the whole of it.
    """

    def __init__(
        self, root: Path, functions: Mapping[str, WSGIApplication], own: Mapping[str, WSGIApplication] | None = None
    ) -> None:
        config = _config(root / "firebase.json")
        self._public = root / config.get("public", "web")
        self._rewrites = [(_pattern(rule["source"]), rule) for rule in config.get("rewrites", []) if "source" in rule]
        self._headers = [(_pattern(rule["source"]), rule) for rule in config.get("headers", []) if "source" in rule]
        self._functions = functions
        self._own = own or {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = Request(environ).path
        for beginning, app in self._own.items():
            if path == beginning or (beginning.endswith("/") and path.startswith(beginning)):
                return app(environ, start_response)
        file = self._file(path)
        if file is None:
            for pattern, rule in self._rewrites:
                if not pattern.fullmatch(path):
                    continue
                function = self._functions.get(_target(rule))
                if function is not None:
                    return function(environ, start_response)
                file = self._file(rule.get("destination", ""))
                break
        return self._response(path, file)(environ, start_response)

    def _file(self, path: str) -> Path | None:
        joined = safe_join(str(self._public), path.lstrip("/"))
        if joined is None:
            return None
        file = Path(joined)
        if file.is_dir():
            file = file / "index.html"
        return file if file.is_file() else None

    def _response(self, path: str, file: Path | None) -> Response:
        if file is None:
            missing = self._file("404.html")
            response = Response(missing.read_bytes() if missing else "not found\n", 404, mimetype="text/html")
        else:
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            response = Response(file.read_bytes(), mimetype=kind)
            response.headers["Cache-Control"] = "no-cache"  # someone may be editing it
        for pattern, rule in self._headers:
            if pattern.fullmatch(path):
                for header in rule.get("headers", []):
                    response.headers[header["key"]] = header["value"]
        return response


def _config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    hosting: Any = json.loads(file.read_text()).get("hosting", {})
    return dict(hosting[0] if isinstance(hosting, list) else hosting)


def _target(rule: Mapping[str, Any]) -> str:
    """The function that a rewrite names, in any of the three forms that firebase.json has."""
    function = rule.get("function", {})
    name = function if isinstance(function, str) else function.get("functionId")
    return str(name or rule.get("run", {}).get("serviceId", ""))


def _pattern(source: str) -> re.Pattern[str]:
    """A glob of firebase.json: `**` for any path, `*` within one part of it."""
    if not source.startswith(("/", "*")):
        source = "/" + source
    parts = re.split(r"(\*\*|\*)", source)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts))
