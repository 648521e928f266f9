"""The process of a cell: commands come in over a socket, events and answers go out; when the supervisor ends, so does it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import queue
import signal
import socket
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from keepline.domain.commands import command_from_map
from keepline.domain.content import maps
from keepline.domain.link_settings import Presence
from keepline_connector import frames, lease_wire
from keepline_connector.cell.device import CellDevice
from keepline_connector.cell.egress import Egress
from keepline_connector.cell.fence import Fence
from keepline_connector.cell.last_resort import LastResort
from keepline_connector.cell.store import READER
from keepline_connector.logs import set_up_logging

# Sends block a thread for as long as WhatsApp takes; more than these wait their turn.
_WORKERS_MAX = 64
# What waits for WhatsApp's answer must not hold up the rest: when nothing is answered any more, connections have to be cut.
_ANSWERED_BY_WHATSAPP = frozenset({"send", "carry_out", "probe", "fetch_media"})
# How often the supervisor hears how the egress is, if that has changed.
_STATUS_INTERVAL_S = 5.0
# A cell without a supervisor must not outlive the next one's patience (folder_lock.py).
_LEAVE_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class Cell:
    """Carries out the supervisor's commands, each in a thread of its own."""

    def __init__(self, supervisor: socket.socket, lease: socket.socket) -> None:
        self._supervisor = supervisor
        self._lease = lease
        # Closed until the supervisor says how long its lease holds.
        self._egress = Egress(Fence(-math.inf), LastResort())
        self._devices: dict[str, CellDevice] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._outgoing: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._waiting = ThreadPoolExecutor(_WORKERS_MAX, thread_name_prefix="question")
        self._workers = ThreadPoolExecutor(_WORKERS_MAX, thread_name_prefix="command")
        self._commands: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "greet": lambda command: {},
            "open": self._open,
            "connect": self._connect,
            "present": self._present,
            "send": self._send,
            "carry_out": self._carry_out_command,
            "fetch_media": self._fetch_media,
            "forget_media": self._forget_media,
            "probe": self._probe,
            "pair_code": self._pair_code,
            "find_tried": self._find_tried,
            "cut": self._cut,
            "acknowledge": self._acknowledge,
            "log_out": self._log_out,
            "close": self._close,
        }

    def run(self) -> None:
        """Until the supervisor's end of the socket closes."""
        threading.Thread(target=self._follow_lease, name="lease", daemon=True).start()
        threading.Thread(target=self._write, name="writer", daemon=True).start()
        threading.Thread(target=self._tell_status, name="status", daemon=True).start()
        with self._supervisor.makefile("rb") as lines:
            for line in lines:
                command = frames.decode(line)
                if command["do"] == "acknowledge":
                    self._carry_out(command)  # In order, and too small for a thread.
                elif command["do"] in _ANSWERED_BY_WHATSAPP:
                    self._waiting.submit(self._carry_out, command)
                else:
                    self._workers.submit(self._carry_out, command)

    def _follow_lease(self) -> None:
        """In a thread that does nothing else: behind whatever else there is to do, a renewal would come too late."""
        while (deadline_s := lease_wire.receive(self._lease)) is not None:
            self._egress.renew(deadline_s)

    def leave(self) -> None:
        """The supervisor is gone: cut every socket, write down what was heard, and be gone within the limit."""
        watchdog = threading.Timer(_LEAVE_TIMEOUT_S, os._exit, args=(1,))
        watchdog.daemon = True
        watchdog.start()
        closing = [threading.Thread(target=device.close) for device in self._devices.values()]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _carry_out(self, command: dict[str, Any]) -> None:
        try:
            answer = self._commands[command["do"]](command)
        except Exception as error:
            log.exception("the command %s failed", command["do"])
            answer = {"error": type(error).__name__}
        self._outgoing.put({"re": command["id"], **answer})

    def _write(self) -> None:
        while True:
            frame = frames.encode(self._outgoing.get())
            try:
                self._supervisor.sendall(frame)
            except OSError:
                return  # The reader sees the same end, and ends the process.

    def _tell_status(self) -> None:
        told = None
        while True:
            if (status := self._egress.status()) != told:
                self._outgoing.put({"egress": status.as_json()})
                told = status
            time.sleep(_STATUS_INTERVAL_S)

    def _turn(self, device: str) -> threading.Lock:
        """Opening and closing take turns: an opening that nobody waits for any more can be closed only when it is over."""
        return self._turns.setdefault(device, threading.Lock())

    def _device(self, command: dict[str, Any]) -> CellDevice:
        return self._devices[command["device"]]

    def _open(self, command: dict[str, Any]) -> dict[str, Any]:
        name = command["device"]
        with self._turn(name):
            if name not in self._devices:
                self._devices[name] = CellDevice(
                    name,
                    Path(command["folder"]),
                    self._egress,
                    lambda event: self._outgoing.put({"device": name, "event": event}),
                )
            self._devices[name].replay()
        return {}

    def _connect(self, command: dict[str, Any]) -> dict[str, Any]:
        presence = Presence(command["presence"])
        self._device(command).connect(command["upstream"], presence, public_only=command["public_only"])
        return {}

    def _present(self, command: dict[str, Any]) -> dict[str, Any]:
        self._device(command).present(Presence(command["presence"]))
        return {}

    def _acknowledge(self, command: dict[str, Any]) -> dict[str, Any]:
        self._device(command).acknowledge(command["seqs"])
        return {}

    def _log_out(self, command: dict[str, Any]) -> dict[str, Any]:
        self._devices.pop(command["device"]).log_out()
        return {}

    def _close(self, command: dict[str, Any]) -> dict[str, Any]:
        with self._turn(command["device"]):
            device = self._devices.pop(command["device"], None)
            if device is not None:
                device.close()
        return {}

    def _cut(self, command: dict[str, Any]) -> dict[str, Any]:
        self._device(command).cut()
        return {}

    def _send(self, command: dict[str, Any]) -> dict[str, Any]:
        content = maps.from_map(command["kind"], command["content"])
        file = Path(command["file"]) if command["file"] is not None else None
        return vars(self._device(command).send(command["chat"], content, b64decode(command["tag"]), file))

    def _fetch_media(self, command: dict[str, Any]) -> dict[str, Any]:
        return self._device(command).fetch_media(command["chat"], command["wa_message_id"], Path(command["target"]))

    def _forget_media(self, command: dict[str, Any]) -> dict[str, Any]:
        self._device(command).forget_media(command["chat"], command["wa_message_id"])
        return {}

    def _carry_out_command(self, command: dict[str, Any]) -> dict[str, Any]:
        asked = command_from_map(command["kind"], command["arguments"])
        return vars(self._device(command).carry_out(asked))

    def _probe(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"answered": self._device(command).probe()}

    def _pair_code(self, command: dict[str, Any]) -> dict[str, Any]:
        return vars(self._device(command).pair_code(command["phone"]))

    def _find_tried(self, command: dict[str, Any]) -> dict[str, Any]:
        found = self._device(command).find_tried([b64decode(tag) for tag in command["tags"]])
        return {"found": {b64encode(tag).decode(): vars(tried) for tag, tried in found.items()}}


def main() -> None:
    """Run a cell on the inherited socket, then leave at once: the kernel cuts every socket of the process."""
    parser = argparse.ArgumentParser(description="A cell of the Keepline connector; its supervisor starts it.")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the supervisor")
    parser.add_argument("--lease-fd", type=int, required=True, help="and the one that says how long its lease holds")
    arguments = parser.parse_args()
    set_up_logging()
    # Ctrl-C in a terminal reaches the whole process group; the supervisor decides when a cell ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    READER.start()
    cell = Cell(socket.socket(fileno=arguments.fd), socket.socket(fileno=arguments.lease_fd))
    try:
        with contextlib.suppress(OSError):
            cell.run()
        cell.leave()
    finally:
        # Not sys.exit: the library's threads are not daemons, and would keep a cell without supervisor alive and sending.
        os._exit(0)
