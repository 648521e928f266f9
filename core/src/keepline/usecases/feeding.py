"""Feeding the runners of a connector: what Firestore's listeners bring goes to the devices that it concerns.

A listener serves as many accounts as one query takes; when the devices change they are grouped anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from keepline.domain.send_queue import Outgoing
from keepline.ports.documents import IN_VALUES_MAX, Document, DocumentStore, Version
from keepline.records import accounts, commands, outbox, witness
from keepline.records.accounts import SLOTS, Pairing
from keepline.records.outbox import Authority
from keepline.records.witness import Question
from keepline.usecases.commanding import by_account
from keepline.usecases.device_running import DeviceRunner

T = TypeVar("T")


class Feeds:
    """`runners` is the connector's own table, by account and slot."""

    def __init__(self, store: DocumentStore, runners: Mapping[tuple[str, str], DeviceRunner]) -> None:
        self._store = store
        self._runners = runners
        self._changed = asyncio.Event()

    def devices_changed(self) -> None:
        """The table has other devices now, or another runner for one of them."""
        self._changed.set()

    async def run(self) -> None:
        """Watch waiting rows and QR requests of all accounts, in groups as large as one query takes; regroup on a change."""
        while True:
            self._changed.clear()
            held = dict(self._runners)
            async with asyncio.TaskGroup() as tasks:
                feeds = [
                    tasks.create_task(feeding)
                    for group in _batched(sorted({account for account, _ in held}), IN_VALUES_MAX)
                    for feeding in (
                        self._feed_rows(group),
                        self._feed_authorities(group),
                        self._feed_pairings(group),
                        self._feed_questions(group),
                        self._feed_commands(group),
                    )
                ]
                while self._runners == held:
                    await self._changed.wait()
                    self._changed.clear()
                for feed in feeds:
                    feed.cancel()

    async def _feed_pairings(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(accounts.pairings_of(group)) as watch:
            async for documents in watch:
                for pairing in map(Pairing.read, documents):
                    if runner := self._runners.get((pairing.account, pairing.slot)):
                        runner.pairing_requested(pairing)

    async def _feed_questions(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(witness.questions_to(group)) as watch:
            async for documents in watch:
                for question in map(Question.read, documents):
                    if runner := self._runners.get((question.account, question.slot)):
                        runner.asked(question)

    async def _feed_commands(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(commands.open_commands(group)) as watch:
            async for documents in watch:
                for account, orders in by_account(documents, group).items():
                    for runner in self._runners_of(account):
                        runner.ordered(orders)

    async def _feed_rows(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(outbox.waiting_rows(group)) as watch:
            known: dict[str, Outgoing] = {}
            before: dict[str, list[Outgoing]] = {}
            async for documents in watch:
                # Most rows of a long queue stood in the result before: only what has changed is read anew.
                known = {document.path: _read_anew(document, known.get(document.path)) for document in documents}
                rows: dict[str, list[Outgoing]] = {account: [] for account in group}
                for document in documents:
                    rows[document.fields["account"]].append(known[document.path])
                for account in _changed(rows, before):
                    for runner in self._runners_of(account):
                        runner.offer(rows[account])
                before = rows

    async def _feed_authorities(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(outbox.authorities_of(group)) as watch:
            before: dict[str, Version] = {}
            async for documents in watch:
                versions = {document.path: document.version for document in documents}
                changed = _changed(versions, before)
                for authority in (Authority.read(document) for document in documents if document.path in changed):
                    for runner in self._runners_of(authority.account):
                        runner.authority_seen(authority)
                before = versions

    def _runners_of(self, account: str) -> list[DeviceRunner]:
        return [runner for slot in SLOTS if (runner := self._runners.get((account, slot)))]


def _changed(now: Mapping[str, T], before: Mapping[str, T]) -> list[str]:
    """Whose part of a result is another than before: each one that is told takes a step, and most changes are one account's.

    All, if nobody's is: the same result comes again when the watch has swept, and whoever has missed something looks then.
    """
    return [key for key, part in now.items() if part != before.get(key)] or list(now)


def _read_anew(document: Document, known: Outgoing | None) -> Outgoing:
    return known if known is not None and known.version == document.version else outbox.to_outgoing(document)


def _batched(names: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(names[start : start + size]) for start in range(0, len(names), size)]
