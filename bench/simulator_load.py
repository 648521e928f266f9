"""How fast the simulator is and how much it holds: `make bench-simulator`.

The simulator runs as a process of its own; the devices are `simulator.probe` devices in this one, so that only the server's
own processor time counts. A message here is a whole one: taken from a linked device, decrypted by two phones (the
recipient's and the sender's own), with the delivery receipt that goes back and its acknowledgement.

It ends with one line of JSON: `messages_per_s` (accepted per second of the server's processor time, so on one core),
`devices` (linked and connected at once), `rss_mb` (the server's memory with all of them, after the messages).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from simulator.client import SimulatorClient
from simulator.jid import Jid
from simulator.probe import ProbeDevice

LINKING_AT_ONCE = 16
# Messages that one sender has under way; clients here send like a busy gateway, not like a person.
WINDOW = 8
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """User and system time of a process (proc(5), stat: fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class Sender:
    """A device that sends texts to one number over sessions that exist."""

    def __init__(self, device: ProbeDevice, to: str) -> None:
        self.device = device
        self._user = Jid(to, device.jid.server)
        self._devices: list[Jid] = []
        self._to = self._user
        self._next = 0

    async def open(self) -> None:
        self._devices, lids = await self.device.devices_of(self._user, self.device.jid.account())
        self._to = lids[self._user]
        await self.device.open_sessions([one for one in self._devices if one != self.device.lid])
        await self.send(1)

    async def send(self, count: int) -> None:
        window = asyncio.Semaphore(WINDOW)

        async def one() -> None:
            self._next += 1
            name = f"3EB0{id(self) & 0xFFFFFFFF:08X}{self._next:08X}"
            node = self.device.sealed_message(name, self._to, self._devices, f"message {self._next}")
            try:
                ack = await self.device.answered(node)
            finally:
                window.release()
            if "error" in ack.attrs:
                raise RuntimeError(f"a message was refused: {ack!r}")

        tasks = []
        for _ in range(count):
            await window.acquire()
            tasks.append(asyncio.create_task(one()))
        await asyncio.gather(*tasks)


class Bench:
    def __init__(self, folder: Path, pid: int) -> None:
        self.control = SimulatorClient.from_folder(folder)
        about = json.loads((folder / "simulator.json").read_text())
        self._port = int(about["proxy"].rpartition(":")[2])
        self._root = bytes.fromhex(about["noise_root"])
        self._folder, self._pid = folder, pid
        self.devices: list[ProbeDevice] = []

    async def link(self, count: int) -> None:
        """Links devices, one per number, a few at a time."""
        started, cpu = time.monotonic(), processor_seconds(self._pid)
        places = asyncio.Semaphore(LINKING_AT_ONCE)

        async def one(index: int) -> None:
            async with places:
                device = ProbeDevice(self._port, self._folder, self._root)
                await device.pair(lambda qr: self.control.scan(f"1415{index:07}", qr))
                await device.log_in(1)
                self.devices.append(device)
                if len(self.devices) % 100 == 0:
                    print(f"  {len(self.devices)} devices linked, server {rss_mb(self._pid):.0f} MB", flush=True)

        await asyncio.gather(*(one(index) for index in range(count)))
        spent = processor_seconds(self._pid) - cpu
        print(f"  in {time.monotonic() - started:.1f} s, {spent / count * 1000:.1f} ms of the server each", flush=True)

    async def messages(self, senders: int, count: int) -> float:
        """Accepted messages per second of the server's processor time."""
        chosen = [Sender(device, f"1650{index:07}") for index, device in enumerate(self.devices[:senders])]
        for sender in chosen:
            await sender.open()
        before, cpu, started = self.control.stats()["accepted"], processor_seconds(self._pid), time.monotonic()
        rounds = 5
        for number in range(rounds):
            await asyncio.gather(*(sender.send(count // rounds // len(chosen)) for sender in chosen))
            accepted = self.control.stats()["accepted"] - before
            spent = processor_seconds(self._pid) - cpu
            print(
                f"  round {number + 1}: {accepted} messages, {accepted / spent:.0f} per second of one core", flush=True
            )
        print(
            f"  {accepted / (time.monotonic() - started):.0f} per second by the clock (with both sides here)",
            flush=True,
        )
        return float(accepted / spent)


async def run(options: argparse.Namespace, folder: Path, pid: int) -> dict[str, float]:
    bench = Bench(folder, pid)
    print(f"linking {options.devices} devices", flush=True)
    await bench.link(options.devices)
    print(f"{options.messages} messages from {options.senders} of them", flush=True)
    rate = await bench.messages(options.senders, options.messages)
    connected = bench.control.stats()["logged_in"]
    memory = rss_mb(pid)
    for device in bench.devices:
        await device.close()
    bench.control.close()
    return {"messages_per_s": round(rate), "devices": connected, "rss_mb": round(memory)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the simulator: messages a second, devices at once, memory.")
    parser.add_argument("--devices", type=int, default=1000, metavar="N")
    parser.add_argument("--senders", type=int, default=50, metavar="N", help="devices that send (default 50)")
    parser.add_argument("--messages", type=int, default=20_000, metavar="N")
    options = parser.parse_args()
    options.senders = min(options.senders, options.devices)
    with tempfile.TemporaryDirectory(prefix="bench-simulator-") as name:
        command = [sys.executable, "-m", "simulator", "--dir", name, "--control-port", "0", "--proxy-port", "0"]
        server = subprocess.Popen([*command, "--every-number-exists"], stdout=subprocess.DEVNULL)
        try:
            result = asyncio.run(run(options, Path(name), server.pid))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
