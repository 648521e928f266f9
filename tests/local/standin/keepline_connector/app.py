"""Runs the health server; `STANDIN=stubborn` ignores SIGTERM, `STANDIN=broken` ends at once."""

import http.server
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main(cell_module):
    how = os.environ.get("STANDIN", "")
    if how == "broken":
        print("no such thing as a good start")
        return 3
    print("would start cells of", cell_module)
    data = Path(os.environ["KEEPLINE_DATA_DIR"])
    data.mkdir(parents=True, exist_ok=True)
    # A cell inherits the group, not the session: it has to go when its connector goes, even when it hangs.
    cell = subprocess.Popen([sys.executable, "-m", "keepline_connector.cell"], stdin=subprocess.PIPE)
    (data / "cell.pid").write_text(str(cell.pid))
    (data / "environment").write_text("\n".join(f"{name}={value}" for name, value in os.environ.items()))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "stubborn" else lambda *_: stop.set())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["KEEPLINE_HEALTH_PORT"])), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop.wait()
    print("drained")
    return 0
