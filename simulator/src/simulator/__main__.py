"""`python -m simulator`: the simulator as a program."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from simulator.errors import SimulatorError
from simulator.rates import RatePolicy
from simulator.server import Settings, Simulator
from simulator.world import Policy

EPILOG = """\
A client reaches the simulator through its proxy port, trusts DIR/ca.pem for TLS and DIR/noise_root.hex for Noise;
simulator.environment and simulator.trust do that for neonize. The control API is plain JSON:

  curl -d '{"number": "14155550100", "name": "Ada"}' http://127.0.0.1:8090/phones
  curl -d '{"qr": "<text of the QR code>"}' http://127.0.0.1:8090/phones/14155550100/scan
  curl http://127.0.0.1:8090/phones/14155550100/inbox

Everything lives in memory and is gone when the simulator stops. It listens on 127.0.0.1 only.
"""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A WhatsApp server on this machine: clients built on whatsmeow or neonize link, send and receive against it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--control-port", type=_port, default=8090, metavar="N", help="control API (default 8090; 0: a free one)"
    )
    parser.add_argument(
        "--proxy-port", type=_port, default=8091, metavar="N", help="proxy for clients (default 8091; 0: a free one)"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(".simulator"),
        metavar="DIR",
        help="where ca.pem, noise_root.hex and simulator.json go",
    )
    parser.add_argument(
        "--every-number-exists",
        action="store_true",
        help="any number that is scanned for, asked for or written to is a phone",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="decides LIDs, so that runs repeat (default 0)"
    )
    parser.add_argument(
        "--rates", metavar="FILE|default", help="judge accounts by a rate policy: a JSON file, or the built-in one"
    )
    parser.add_argument(
        "--log-file", type=Path, metavar="FILE", help="append every event of the truth log to a file, as JSON lines"
    )
    parser.add_argument("--verbose", action="store_true", help="say more about connections on standard error")
    return parser.parse_args(argv)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


async def run(settings: Settings) -> None:
    """Starts, says what runs where, waits for SIGTERM or Ctrl-C, stops."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with Simulator(settings) as simulator:
        about = simulator.describe()
        print(f"simulator: WhatsApp proxy   {about['proxy']}", flush=True)
        print(f"simulator: control API      {about['control']}", flush=True)
        print(f"simulator: trust            {about['ca']}, {simulator.folder / 'noise_root.hex'}", flush=True)
        print("simulator: ready (Ctrl-C stops it)", flush=True)
        await ended.wait()
    print("simulator: stopped", flush=True)


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="simulator: %(message)s")
    try:
        rates = RatePolicy.load(options.rates) if options.rates else None
    except SimulatorError as problem:
        print(f"simulator: {problem}", file=sys.stderr)
        return 2
    settings = Settings(
        control_port=options.control_port,
        proxy_port=options.proxy_port,
        folder=options.dir,
        seed=options.seed,
        log_file=options.log_file,
        rates=rates,
        policy=Policy(every_number_exists=options.every_number_exists),
    )
    try:
        asyncio.run(run(settings))
    except SimulatorError as problem:
        print(f"simulator: {problem}", file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"simulator: {problem.strerror}: {problem.filename}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
