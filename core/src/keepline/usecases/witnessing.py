"""Both sides of the testimony of an account's other device: the sender asks, the witness looks and answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keepline.domain.session import TERMINAL_STATES
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import accounts, witness
from keepline.records.accounts import Device
from keepline.records.witness import Question

# Between the moment WhatsApp answers the witness and the moment its library has decrypted everything that came before.
SETTLING_S = 3.0
_RETRY_S = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Testimony:
    """What a witness says: the WhatsApp ids of those of the messages asked about that it got copies of."""

    asked: frozenset[str]
    seen: Mapping[str, str]


class WitnessDesk:
    """The asking side. One question at a time; `prefix` makes its questions' names differ from those of earlier senders."""

    def __init__(self, store: DocumentStore, account: str, slot: str, prefix: str) -> None:
        self._store = store
        self._account = account
        self._slot = slot
        self._prefix = prefix
        self._count = 0
        self._open: tuple[str, str, frozenset[str]] | None = None  # witness's slot, question's name, message ids

    async def witness(self) -> Device | None:
        """Another device of the account that is linked and will come back by itself if it is away; or None."""
        for document in await self._store.query(accounts.devices_of_account(self._account)):
            device = Device.read(document)
            if device.slot != self._slot and device.wanted and device.linked and device.state not in TERMINAL_STATES:
                return device
        return None

    async def consult(self, slot: str, doubts: Mapping[str, bytes]) -> Testimony | None:
        """Ask about these tags by message id, or look for the answer to what has been asked. None while there is none."""
        if self._open is None or self._open[0] != slot or not self._open[2] <= doubts.keys():
            self._count += 1
            name = f"{self._prefix}-{self._count}"
            await self._store.commit([witness.ask(self._account, slot, name, doubts)])
            self._open = (slot, name, frozenset(doubts))
            return None
        _, name, asked = self._open
        document = await self._store.get(witness.witness_path(self._account, slot))
        question = Question.read(document) if document is not None else None
        if question is None or question.name != name:
            self._open = None  # Somebody asked in between, or it was cleared: ask again.
            return None
        if question.answered != name:
            return None
        self._open = None
        return Testimony(asked, question.seen)


async def look_for_copies(link: DeviceLink, tags: Sequence[bytes]) -> dict[bytes, str] | None:
    """The WhatsApp ids of those of the tagged messages that this device knows, when it has got everything sent so far.

    None when WhatsApp does not answer it now.
    """
    # What WhatsApp gave this device before it answers a question of ours has arrived when the answer has.
    if not await link.probe():
        return None
    await asyncio.sleep(SETTLING_S)
    tried = await link.find_tried(tags)
    return {tag: tried[tag].wa_message_id for tag in tags if tag in tried}


class Witness:
    """The answering side, for one device."""

    def __init__(self, store: DocumentStore, link: DeviceLink) -> None:
        self._store = store
        self._link = link
        self._question: Question | None = None
        self._wake = asyncio.Event()
        self._caught_up = asyncio.Event()

    def asked(self, question: Question) -> None:
        """The newest question to this device, answered or not."""
        if question.answered != question.name:
            self._question = question
            self._wake.set()

    def caught_up(self) -> None:
        self._caught_up.set()

    def disconnected(self) -> None:
        self._caught_up.clear()

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._caught_up.wait()
            question = self._question
            if question is None:
                continue
            try:
                await self._answer(question)
            except StoreConflict:
                continue  # A newer question is on its way to us.
            except StoreUnavailable as error:
                log.warning("a testimony for %s could not be written, trying again: %s", question.account, error)
                self._wake.set()
                await asyncio.sleep(_RETRY_S)

    async def _answer(self, question: Question) -> None:
        copies = await look_for_copies(self._link, list(question.asked.values()))
        if copies is None or not self._caught_up.is_set():
            self._wake.set()
            await asyncio.sleep(_RETRY_S)
            return
        seen = {message_id: copies[tag] for message_id, tag in question.asked.items() if tag in copies}
        await self._store.commit([witness.answer(question, seen)])
        if self._question is question:
            self._question = None
