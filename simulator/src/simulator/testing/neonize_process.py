"""neonize clients in a process of their own, driven by JSON lines: commands on standard input, events on a pipe.

neonize starts a Go runtime when imported: it must not be forked afterwards, and its environment must be set before. So
`NeonizeClient` starts this file as a program; the tests' own process never imports neonize.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from simulator.testing import neonize_calls
from simulator.testing.neonize_calls import Fields, Kept, Report


class Reporter:
    """Writes events to the pipe, from whatever thread they happen on; `time` is the machine's monotonic clock in seconds."""

    def __init__(self, handle: int) -> None:
        self._pipe = os.fdopen(handle, "w", buffering=1)
        self._lock = threading.Lock()

    def __call__(self, event: str, **fields: Any) -> None:
        with self._lock:
            self._pipe.write(json.dumps({"event": event, "time": time.monotonic(), **fields}) + "\n")


def subscribe(client: Any, report: Report, kept: Kept) -> None:
    """Every event that tests wait for; handlers must be there before `connect` (neonize subscribes to no others)."""
    from neonize import events

    def on(kind: Any, name: str, fields: Callable[[Any], Fields] = lambda event: {}) -> None:
        client.event(kind)(lambda _, event: report(name, **fields(event)))

    client.event.qr(lambda _, code: report("qr", qr=code.decode()))
    on(events.ConnectedEv, "connected")
    on(events.DisconnectedEv, "disconnected")
    on(events.LoggedOutEv, "logged_out", lambda event: {"on_connect": event.OnConnect, "reason": int(event.Reason)})
    on(events.StreamReplacedEv, "replaced")
    on(events.StreamErrorEv, "stream_error", lambda event: {"code": event.Code})
    on(events.ConnectFailureEv, "connect_failure", lambda event: {"reason": int(event.Reason)})
    on(events.TemporaryBanEv, "temporary_ban", lambda event: {"code": int(event.Code), "expire": int(event.Expire)})
    on(events.ClientOutdatedEv, "client_outdated")
    on(events.KeepAliveTimeoutEv, "keepalive_timeout", lambda event: {"count": event.ErrorCount})
    on(events.KeepAliveRestoredEv, "keepalive_restored")
    neonize_calls.subscribe(client, report, kept)
    on(events.OfflineSyncCompletedEv, "offline_done", lambda event: {"count": event.Count})


class Commands:
    """What a test may tell the client; each command runs on a thread of its own and reports what came of it."""

    def __init__(self, client: Any, report: Report, restart: Callable[[], Any], kept: Kept) -> None:
        self._client = client
        self._kept = kept
        self._report = report
        self._restart = restart

    def run(self, command: Fields) -> None:
        try:
            result = getattr(self, "do_" + command["do"])(command)
        except Exception as problem:  # noqa: BLE001 - the test decides what an error means
            self._report("failed", call=command["call"], error=str(problem))
        else:
            self._report("done", call=command["call"], **result)

    def do_send(self, command: Fields) -> Fields:
        from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message
        from neonize.utils import build_jid

        message = Message(conversation=command["text"])
        if command["tag"]:
            message.messageContextInfo.messageSecret = bytes.fromhex(command["tag"])
        return {"id": self._client.send_message(build_jid(command["to"]), message).ID}

    def do_on_whatsapp(self, command: Fields) -> Fields:
        return {"found": {one.Query: one.IsIn for one in self._client.is_on_whatsapp(*command["numbers"])}}

    def do_call(self, command: Fields) -> Fields:
        """Any method of neonize (`neonize_calls`)."""
        return neonize_calls.run(self._client, command, self._kept)

    def do_content(self, command: Fields) -> Fields:
        """What was in a message that came."""
        return {"content": neonize_calls.as_json(self._kept[command["id"]].Message)}

    def do_logout(self, command: Fields) -> Fields:
        self._client.logout()
        return {}

    def do_restart(self, command: Fields) -> Fields:
        """Starts a new client on the store of one whose `connect` ended; what comes of it is told like the first time."""
        self._client = self._restart()
        return {}

    def do_is_logged_in(self, command: Fields) -> Fields:
        return {"logged_in": bool(self._client.is_logged_in)}

    def do_is_connected(self, command: Fields) -> Fields:
        return {"connected": bool(self._client.is_connected)}


class Member:
    """One client of the process. `starting` lets clients start one at a time: together they would kill the process."""

    STARTED = ("qr", "connected", "connect_failed", "connect_failure", "temporary_ban", "client_outdated", "logged_out")
    START_SECONDS_MAX = 15.0

    def __init__(self, options: Fields, report: Report, index: int, starting: threading.Lock) -> None:
        self._store, self._uuid, self._proxy = options["store"], options["uuid"], options["proxy"]
        self._starting, self._started = starting, threading.Event()
        self._send, self._index = report, index
        # All are kept: Go goes on calling the callbacks of an ended client, and one that is collected stops its namesake.
        self._kept = Kept()
        self._clients = [self._new_client()]
        self.commands = Commands(self._clients[0], self.report, self.restart, self._kept)

    def _new_client(self) -> Any:
        from neonize.client import NewClient

        # DSN options by injection: neonize appends "?_foreign_keys=on" to the name it is given.
        client = NewClient(f"{self._store}?_journal_mode=WAL&_foreign_keys=on&z=", uuid=self._uuid)
        subscribe(client, self.report, self._kept)
        return client

    def restart(self) -> Any:
        self._uuid += "-again"
        self._clients.append(self._new_client())
        self.connect()
        return self._clients[-1]

    def report(self, event: str, **fields: Any) -> None:
        if event in self.STARTED:
            self._started.set()
        self._send(event, client=self._index, **fields)

    def connect(self) -> None:
        """Returns when the client has started; it then runs on a thread of its own."""
        with self._starting:
            self._started.clear()
            threading.Thread(target=self._run, daemon=True).start()
            self._started.wait(self.START_SECONDS_MAX)

    def _run(self) -> None:
        from neonize.client import ProxySettings

        try:
            self._clients[-1].connect(ProxySettings(proxy_address=self._proxy))
        except Exception as problem:  # noqa: BLE001 - the test decides what an error means
            self.report("connect_failed", error=str(problem))


def main() -> None:
    options, report = json.loads(sys.argv[1]), Reporter(int(sys.argv[2]))
    import neonize.client  # noqa: F401 - loads the library whose memory is changed below

    from simulator.trust import set_keepalive, set_request_timeout, trust_this_simulator

    trust_this_simulator(options["noise_root"])
    if options["keepalive"]:
        set_keepalive(*options["keepalive"])
    if options["request_timeout"]:
        set_request_timeout(options["request_timeout"])
    starting = threading.Lock()
    members = [Member(one, report, index, starting) for index, one in enumerate(options["clients"])]
    for member in members:
        threading.Thread(target=member.connect, daemon=True).start()
    for line in sys.stdin:
        command = json.loads(line)
        threading.Thread(target=members[command["client"]].commands.run, args=(command,), daemon=True).start()
    # Go would wait for threads of its own; a test process has nothing left to save.
    os._exit(0)


if __name__ == "__main__":
    main()
