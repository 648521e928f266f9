"""`python -m keepline_local up` and `… demo`: Keepline on this machine. `… logs ID` follows a message through it."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m keepline_local",
        description="Keepline on this machine: emulators, functions, scheduler, connectors, console.",
        epilog="KEEPLINE_PORT, KEEPLINE_CONSOLE_PORT and KEEPLINE_SIMULATOR_PORT choose ports (0: any free one); "
        "KEEPLINE_STATE_DIR chooses the folder for what a run keeps (.keepline).",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="{up,demo,logs}")
    for kind, help_text in (
        ("up", "against the real WhatsApp; data survives a restart"),
        ("demo", "with the simulator in WhatsApp's place and phones that scan by themselves; begins empty each time"),
    ):
        command = kinds.add_parser(kind, help=help_text)
        command.add_argument(
            "--until-stdin-closes",
            action="store_true",
            help="stop when standard input ends (for programs that start a run)",
        )
    follow = kinds.add_parser("logs", help="the way of one message through all parts of the run")
    follow.add_argument("message_id", help="m_…, as the API named it")
    options = parser.parse_args()
    if options.kind == "logs":
        from keepline_local.following import show
        from keepline_local.paths import State

        return show(State.chosen().logs, options.message_id)
    from keepline_local.runner import run

    return run(options.kind, until_stdin_closes=options.until_stdin_closes)


if __name__ == "__main__":
    sys.exit(main())
