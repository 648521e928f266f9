"""One neonize client in a process of its own, driven by JSON lines: commands on standard input, events on a pipe.

neonize starts a Go runtime when imported: it must not be forked afterwards, and its environment must be set before. So
`NeonizeClient` starts this file as a program; the tests' own process never imports neonize.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]


class Reporter:
    """Writes events to the pipe, from whatever thread they happen on."""

    def __init__(self, handle: int) -> None:
        self._pipe = os.fdopen(handle, "w", buffering=1)
        self._lock = threading.Lock()

    def __call__(self, event: str, **fields: Any) -> None:
        with self._lock:
            self._pipe.write(json.dumps({"event": event, **fields}) + "\n")


def message_fields(event: Any) -> Fields:
    info, message = event.Info, event.Message
    source = info.MessageSource
    return {
        "id": info.ID,
        "text": message.conversation or message.extendedTextMessage.text,
        "from": source.Sender.User,
        "from_alt": source.SenderAlt.User,
        "chat": source.Chat.User,
        "from_me": source.IsFromMe,
        "tag": message.messageContextInfo.messageSecret.hex(),
    }


def receipt_fields(event: Any) -> Fields:
    return {"ids": list(event.MessageIDs), "type": int(event.Type), "from": event.MessageSource.Sender.User}


def subscribe(client: Any, report: Reporter) -> None:
    """Every event that tests wait for; handlers must be there before `connect` (neonize subscribes to no others)."""
    from neonize import events

    def on(kind: Any, name: str, fields: Callable[[Any], Fields] = lambda event: {}) -> None:
        client.event(kind)(lambda _, event: report(name, **fields(event)))

    client.event.qr(lambda _, code: report("qr", qr=code.decode()))
    on(events.ConnectedEv, "connected")
    on(events.DisconnectedEv, "disconnected")
    on(events.LoggedOutEv, "logged_out")
    on(events.StreamReplacedEv, "replaced")
    on(events.StreamErrorEv, "stream_error", lambda event: {"code": event.Code})
    on(events.ConnectFailureEv, "connect_failure", lambda event: {"reason": int(event.Reason)})
    on(events.TemporaryBanEv, "temporary_ban", lambda event: {"code": int(event.Code), "expire": int(event.Expire)})
    on(events.ClientOutdatedEv, "client_outdated")
    on(events.KeepAliveTimeoutEv, "keepalive_timeout", lambda event: {"count": event.ErrorCount})
    on(events.KeepAliveRestoredEv, "keepalive_restored")
    on(events.MessageEv, "message", message_fields)
    on(events.ReceiptEv, "receipt", receipt_fields)
    on(events.OfflineSyncCompletedEv, "offline_done", lambda event: {"count": event.Count})
    on(events.UndecryptableMessageEv, "undecryptable", lambda event: {"id": event.Info.ID})


class Commands:
    """What a test may tell the client; each command runs on a thread of its own and reports what came of it."""

    def __init__(self, client: Any, report: Reporter) -> None:
        self._client = client
        self._report = report

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

    def do_logout(self, command: Fields) -> Fields:
        self._client.logout()
        return {}

    def do_is_logged_in(self, command: Fields) -> Fields:
        return {"logged_in": bool(self._client.is_logged_in)}


def main() -> None:
    options, report = json.loads(sys.argv[1]), Reporter(int(sys.argv[2]))
    from neonize.client import NewClient, ProxySettings

    from simulator.trust import set_keepalive, trust_this_simulator

    trust_this_simulator(options["noise_root"])
    if options["keepalive"]:
        set_keepalive(*options["keepalive"])
    # DSN options by injection: neonize appends "?_foreign_keys=on" to the name it is given.
    client = NewClient(f"{options['store']}?_journal_mode=WAL&_foreign_keys=on&z=", uuid=options["uuid"])
    subscribe(client, report)

    def connect() -> None:
        try:
            client.connect(ProxySettings(proxy_address=options["proxy"]))
        except Exception as problem:  # noqa: BLE001 - the test decides what an error means
            report("connect_failed", error=str(problem))

    threading.Thread(target=connect, daemon=True).start()
    commands = Commands(client, report)
    for line in sys.stdin:
        threading.Thread(target=commands.run, args=(json.loads(line),), daemon=True).start()
    # Go would wait for threads of its own; a test process has nothing left to save.
    os._exit(0)


if __name__ == "__main__":
    main()
