"""What the API says of an installation: one look is a few requests, beside each other."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 10.0
# The parts of the picture and where they come from. Sessions are those of the key's user; the fleet counts everybody's.
SOURCES = {
    "fleet": "/api/fleet",
    "sessions": "/api/sessions",
    "uptime": "/api/uptime",
    "alerts": "/api/alerts?state=open&installation=true",
}


@dataclass(frozen=True)
class Picture:
    """One look at `url`. `parts`: the answers by their names in SOURCES; `missing`: why one is not there, as the API said."""

    url: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return not self.missing

    def as_json(self) -> dict[str, Any]:
        return {"url": self.url, **self.parts, "missing": dict(self.missing)}


class Installation:
    """An installation by the address of its API and the key of an operator."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url.rstrip("/")
        self._api_key = api_key

    def look(self) -> Picture:
        """Raises nothing: what cannot be had is missing, and says why."""
        with ThreadPoolExecutor(len(SOURCES)) as pool:
            answers = dict(zip(SOURCES, pool.map(self._ask, SOURCES.values()), strict=True))
        return Picture(
            self.url,
            {name: found for name, (found, _) in answers.items() if found is not None},
            {name: why for name, (found, why) in answers.items() if found is None},
        )

    def _ask(self, path: str) -> tuple[Any, str]:
        request = urllib.request.Request(self.url + path, headers={"X-Api-Key": self._api_key})  # noqa: S310 - the user's own address
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer), ""
        except urllib.error.HTTPError as error:
            return None, _said(error)
        except (OSError, ValueError) as error:
            return None, f"the API does not answer: {getattr(error, 'reason', error)}"


def _said(error: urllib.error.HTTPError) -> str:
    try:
        said = json.load(error)["error"]
        return f"{said['message']} {said['hint']}"
    except (ValueError, KeyError, TypeError, OSError):
        return f"the API answers {error.code}"
