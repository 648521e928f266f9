"""Small HTTP requests to servers on this machine. They never go through a proxy, whatever the environment says."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 10.0


class NoAnswerError(OSError):
    """The server could not be reached, or broke off."""


@dataclass(frozen=True)
class Answer:
    """A status and a body."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace").strip()

    def json(self) -> Any:
        return json.loads(self.body)


def request(method: str, url: str, body: Any = None, *, timeout_s: float = TIMEOUT_S) -> Answer:
    """Send `body` as JSON (none if None) and read the answer, whatever its status; `NoAnswerError` if there is none."""
    data = None if body is None else json.dumps(body).encode()
    return send(method, url, data, {} if data is None else {"Content-Type": "application/json"}, timeout_s=timeout_s)


def send(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, timeout_s: float = TIMEOUT_S
) -> Answer:
    """Send bytes and read the answer, whatever its status; `NoAnswerError` if there is none."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{method} {url}: {error}") from error
    finally:
        connection.close()


def answers(url: str, *, below: int = 300, timeout_s: float = 1.0) -> bool:
    """True if `GET url` is answered with a status below `below`."""
    try:
        return request("GET", url, timeout_s=timeout_s).status < below
    except NoAnswerError:
        return False
