"""`python -m keepline_connector drain|undrain NAME`: take a connector out of use while it runs, and back into use.

It sets the field `drain` of the connector's document, as a person can do it in the Firestore console.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from keepline.adapters.firestore import FirestoreDocuments
from keepline.ports.documents import StoreConflict, StoreUnavailable
from keepline.records.connectors import drain
from keepline_connector.settings import BadSetting, read_project

_SAID = {
    "drain": "{name} takes no more devices, and gives those that it has to others, one after another.",
    "undrain": "{name} takes devices again.",
}


def main(arguments: Sequence[str]) -> None:
    """Carry out one command. Exits with 1 when it could not, and with 2 when it was not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m keepline_connector",
        description="Without a command, a connector runs. With one, another connector is told something.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for action, about in (
        ("drain", "give all its devices to other connectors, and take no more"),
        ("undrain", "take devices again"),
    ):
        actions.add_parser(action, help=about, description=about).add_argument("name", help="the connector's name")
    chosen = parser.parse_args(arguments)
    try:
        project = read_project()
    except BadSetting as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    try:
        asyncio.run(_tell(project, chosen.name, wanted=chosen.action == "drain"))
    except StoreConflict:
        _fail(f"There has never been a connector called {chosen.name}.")
    except StoreUnavailable as error:
        _fail(f"Firestore did not take it: {error}")
    print(_SAID[chosen.action].format(name=chosen.name))


async def _tell(project: str, name: str, *, wanted: bool) -> None:
    store = FirestoreDocuments(project)
    try:
        await store.commit([drain(name, wanted)])
    finally:
        await store.close()


def _fail(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    raise SystemExit(1)
