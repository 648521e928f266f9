#!/usr/bin/env python3
"""A receiver of Keepline's webhooks that verifies their signatures. It needs Python and nothing else.

    KEEPLINE_WEBHOOK_SECRET=whsec_… python examples/webhook_receiver.py --port 9000

The signatures are Standard Webhooks', so any of its libraries does what `is_genuine` does here; so does the Python client's
`verify_webhook`. A receiver of your own keeps what it got before it answers, remembers the ids of a day, and works on events
after it has answered.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

# Older calls are refused: somebody may have recorded them.
AGE_S_MAX = 300
BODY_BYTES_MAX = 4 * 1024 * 1024


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Whether somebody who knows the secret has sent this, and not long ago."""
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isascii() or not timestamp.isdigit() or abs(now_s - int(timestamp)) > AGE_S_MAX:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # Several while a secret is being replaced.
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(one.encode(), expected.encode()) for one in given)


class Receiver(BaseHTTPRequestHandler):
    """Prints each event once."""

    secret = ""
    seen: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("content-length", "0")), BODY_BYTES_MAX))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_genuine(self.secret, headers, body, time.time()):
            self.send_error(401)
            return
        event = json.loads(body)
        if event["id"] not in self.seen:
            self.seen.add(event["id"])
            print(event["timestamp"], event["type"], json.dumps(event["data"], ensure_ascii=False)[:200], flush=True)
        self.send_response(204)
        self.end_headers()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9000)
    arguments = parser.parse_args()
    Receiver.secret = os.environ["KEEPLINE_WEBHOOK_SECRET"]
    with ThreadingHTTPServer(("127.0.0.1", arguments.port), Receiver) as server:
        print(f"listening on http://127.0.0.1:{arguments.port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
