"""People as WhatsApp tells of them: who is there, and what they show of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keepline.domain.addresses import parse_person
from keepline.domain.contact_commands import CheckContacts, SeeContact
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore
from keepline.records import contacts
from keepline.records.contacts import KEPT, CheckedContact
from keepline.usecases.commanding import Commands, Cost, refusal
from keepline.usecases.limiting import LOOKUPS, Charged
from keepline.usecases.sessions import own_account

# In one request. A question of WhatsApp's own apps has as many as their address book.
CHECKED_MAX = 50


@dataclass(frozen=True)
class Checked:
    """The answers in the order asked. `charged` is what is left of the user's limit; None where nobody had to be asked."""

    contacts: list[CheckedContact]
    charged: Charged | None


class Contacts:
    """The contacts of all tenants."""

    def __init__(self, store: DocumentStore, clock: Clock, commands: Commands) -> None:
        self._store = store
        self._clock = clock
        self._commands = commands

    async def check(self, tenant: str, session_id: str, numbers: Sequence[str]) -> Checked:
        """Who of these people is on WhatsApp, as it was answered within the last day or is answered now.

        Each that WhatsApp has to be asked about is a use of the limit. Raises InvalidInput (`bad_number`), NotFound, TooMany
        (`rate_limited`, `wa_rate_limited`), and what `commanding.refusal` gives.
        """
        addresses = [parse_person(number) for number in numbers]
        account = await own_account(self._store, tenant, session_id)
        now = self._clock.now()
        unique = list(dict.fromkeys(addresses))
        paths = [contacts.contact_path(account.id, address) for address in unique]
        documents = await asyncio.gather(*map(self._store.get, paths))
        known = {
            address: CheckedContact.read(document)
            for address, document in zip(unique, documents, strict=True)
            if document is not None and _is_fresh(document.fields["checked_at"], now)
        }
        asked = tuple(address for address in unique if address not in known)
        charged = None
        if asked:
            cost = Cost(LOOKUPS, len(asked))
            result, charged = await self._ask(tenant, session_id, CheckContacts(asked), cost)
            told = {one["asked"]: CheckedContact.of(one, now) for one in result["contacts"]}
            known |= told
            answered = [(address, one) for address, one in told.items() if one.on_whatsapp is not None]
            if answered:
                await self._store.commit([contacts.checked(tenant, account.id, *one) for one in answered])
        return Checked([known[address] for address in addresses], charged)

    async def see(self, tenant: str, session_id: str, person: str) -> tuple[Mapping[str, Any], Charged | None]:
        """What somebody shows of themselves (SeeContact's result). A use of the limit. Raises as `check` does."""
        return await self._ask(tenant, session_id, SeeContact(parse_person(person)), Cost(LOOKUPS))

    async def _ask(
        self, tenant: str, session_id: str, command: CheckContacts | SeeContact, cost: Cost
    ) -> tuple[Mapping[str, Any], Charged | None]:
        carried = await self._commands.carry_out(tenant, session_id, command, cost)
        if carried.outcome.error_code is not None:
            raise refusal(carried.outcome.error_code)
        return carried.outcome.result, carried.charged


def _is_fresh(checked_at: datetime, now: datetime) -> bool:
    return now - checked_at < KEPT
