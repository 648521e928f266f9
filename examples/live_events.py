#!/usr/bin/env python3
"""Follows what happens, as it happens, and goes on where it was when the connection breaks.

Start `make demo` in one terminal and run this in another:

    .venv/bin/python examples/live_events.py
    .venv/bin/python examples/live_events.py --session hello --events message,message.ack

It finds a local run by .keepline/run.json (KEEPLINE_STATE_DIR names another folder). KEEPLINE_API and KEEPLINE_API_KEY name any
other Keepline. With --place FILE it keeps its place there, so that it also goes on where it was after it was stopped. It uses
the client of clients/python.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from keepline_client import Gone, Keepline, KeeplineError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--session", help="only this session")
    parser.add_argument("--events", default="*", help="only these, with commas between them")
    parser.add_argument("--place", type=Path, help="a file to keep the place in")
    arguments = parser.parse_args()
    place = arguments.place.read_text().strip() if arguments.place and arguments.place.exists() else None
    with Keepline(*_where()) as keepline:
        while True:
            try:
                for event in keepline.events.listen(
                    arguments.session, events=arguments.events.split(","), last_event_id=place
                ):
                    print(
                        event["timestamp"],
                        event["type"],
                        json.dumps(event["data"], ensure_ascii=False)[:200],
                        flush=True,
                    )
                    if arguments.place:  # after the event was dealt with: better twice than never
                        arguments.place.write_text(event["id"])
            except Gone:
                print("what came meanwhile is not kept any more: look at GET /api/messages", file=sys.stderr)
                place = None
            except KeeplineError as error:
                print(error, file=sys.stderr)
                return 1


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
