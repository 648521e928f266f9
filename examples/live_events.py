#!/usr/bin/env python3
"""Follows what happens, as it happens, and goes on where it was when the connection breaks.

Start `make demo` in one terminal and run this in another:

    .venv/bin/python examples/live_events.py
    .venv/bin/python examples/live_events.py --session hello --events message,message.ack

It finds a local run by .keepline/run.json (KEEPLINE_STATE_DIR names another folder). KEEPLINE_API and KEEPLINE_API_KEY name any
other Keepline. With --place FILE it keeps its place there, so that it also goes on where it was after it was stopped. It needs
the package `requests` and nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

# Keepline says something every 15 s; a connection on which nothing comes is dead.
SILENCE_S_MAX = 40.0
PAUSE_S = 2.0


def blocks(lines: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """The blocks of an event stream by their fields; what Keepline sends has each field once."""
    block: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode().partition(": ")
        if name:
            block[name] = value  # a comment has no name, and nobody looks at it
        elif block:
            yield block
            block = {}


def follow(api: str, key: str, query: dict[str, str], place: str = "") -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Events, each with the place that is reached with it; now and then a place alone. Ends with the connection.

    Raises requests.RequestException, for an answer with an error too.
    """
    http = requests.Session()
    if urlsplit(api).hostname in ("127.0.0.1", "localhost", "::1"):
        http.trust_env = False  # This machine is reached directly, whatever proxy it has for the world.
    headers = {"X-Api-Key": key, **({"Last-Event-ID": place} if place else {})}
    with http.get(f"{api}/api/events", params=query, headers=headers, stream=True, timeout=SILENCE_S_MAX) as answer:
        answer.raise_for_status()
        for block in blocks(answer.iter_lines(chunk_size=1)):
            if "id" in block:
                yield block["id"], json.loads(block["data"]) if "data" in block else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--session", help="only this session")
    parser.add_argument("--events", help="only these, with commas between them")
    parser.add_argument("--place", type=Path, help="a file to keep the place in")
    arguments = parser.parse_args()
    query = {"session_id": arguments.session, "events": arguments.events}
    query = {name: value for name, value in query.items() if value is not None}
    api, key = _where()
    place = arguments.place.read_text().strip() if arguments.place and arguments.place.exists() else ""
    while True:
        try:
            for reached, event in follow(api, key, query, place):
                place = reached
                if event is not None:
                    print(
                        event["timestamp"],
                        event["type"],
                        json.dumps(event["data"], ensure_ascii=False)[:200],
                        flush=True,
                    )
                if arguments.place:  # after the event was dealt with: better twice than never
                    arguments.place.write_text(place)
        except requests.HTTPError as error:
            if error.response.status_code == 410:
                print("what came meanwhile is not kept any more: look at GET /api/messages", file=sys.stderr)
                place = ""
            elif error.response.status_code not in (429, 503):
                print(error.response.text, file=sys.stderr)
                return 1
        except requests.RequestException as error:
            print(f"cut off ({type(error).__name__}), coming back", file=sys.stderr)
        time.sleep(PAUSE_S)


def _where() -> tuple[str, str]:
    if "KEEPLINE_API" in os.environ:
        return os.environ["KEEPLINE_API"].rstrip("/"), os.environ["KEEPLINE_API_KEY"]
    run = json.loads((Path(os.environ.get("KEEPLINE_STATE_DIR", ".keepline")) / "run.json").read_text())
    return run["api"], run["api_key"]


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(0) from None
