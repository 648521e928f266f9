"""`python -m keepline_connector.key_file create|rotate PATH`: the file with the keys that protect stored sessions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from keepline.adapters.key_file import create_key_file, rotate_key_file
from keepline.ports.keys import KeyRefused, KeyUnavailable


def main() -> None:
    """Make a new key file, or give one a new primary key."""
    parser = argparse.ArgumentParser(
        prog="python -m keepline_connector.key_file",
        description="The file whose keys protect the stored WhatsApp sessions: who has it can read them, nobody else can.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for name, about in (
        ("create", "make a new file with one key; an existing file is left alone"),
        ("rotate", "add a new key and use it from now on; earlier ones stay, for what they protect"),
    ):
        actions.add_parser(name, help=about, description=about).add_argument("path", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.action == "create":
            create_key_file(arguments.path)
        else:
            rotate_key_file(arguments.path)
    except FileExistsError:
        _fail(f"{arguments.path} exists already, and was left as it is: without it, stored sessions could not be read.")
    except (KeyRefused, KeyUnavailable, OSError) as error:
        _fail(str(error))
    print(
        f"{arguments.path}: {'made' if arguments.action == 'create' else 'has a new key'}. Keep it safe and backed up."
    )


def _fail(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
