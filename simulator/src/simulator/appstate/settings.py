"""A phone's side of app state: it makes the key, sets things, and reads what its linked devices set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from simulator import wire
from simulator.accounts import Account
from simulator.appstate import collections, patches
from simulator.appstate.patches import Mutation, State
from simulator.errors import ProtocolError, SimulatorError
from simulator.limits import APP_STATE_PAGE_PATCHES_MAX, NAME_CHARACTERS_MAX

if TYPE_CHECKING:
    from simulator.phone import Phone
    from simulator.world import World

# SyncActionValue (whatsmeow proto/waSyncAction): where the value of each setting stands, by the first part of its index.
_PUSH_NAME, _CONTACT, _MUTE, _PIN, _LOCALE, _ARCHIVE, _MARK_READ = 7, 3, 4, 5, 16, 17, 20
FOREVER_MS = -1

# What can be set about a chat: the collection, the first part of the index, the format's version, the value's field.
_CHAT_SETTINGS = {
    "muted": ("regular_high", "mute", 2, _MUTE),
    "pinned": ("regular_low", "pin_v1", 5, _PIN),
    "archived": ("regular_low", "archive", 3, _ARCHIVE),
    "read": ("regular_low", "markChatAsRead", 3, _MARK_READ),
}


class Settings:
    """The settings of one number, as its phone knows them."""

    def __init__(self, world: World, phone: Phone) -> None:
        self._world = world
        self._phone = phone
        # A key id holds the device that made it (2 bytes) and a running number (4 bytes).
        self.key_id = b"\x00\x00" + os.urandom(4)
        self.key = os.urandom(32)
        self._keys = patches.expand(self.key_id, self.key)
        self._states = {name: State(name) for name in collections.NAMES}
        self._begun = False
        self.contacts: dict[str, str] = {}
        # By address of the chat: what was set.
        self.chats: dict[str, dict[str, bool]] = {}

    @property
    def _account(self) -> Account:
        return self._phone.account

    def begin(self) -> None:
        """The first patches, once there is a linked device to read them: name, locale, contacts."""
        if self._begun:
            return
        self._begun = True
        self._set(
            "critical_block", [self._name(), Mutation(("setting_locale",), _value(_LOCALE, wire.pack((1, "en"))), 3)]
        )
        if self.contacts:
            self._set("critical_unblock_low", [self._contact(number) for number in self.contacts])

    def _name(self) -> Mutation:
        # WhatsApp has no phone without a name; a client with none may not be online (whatsmeow `SendPresence`).
        name = self._account.name or self._account.number
        return Mutation(("setting_pushName",), _value(_PUSH_NAME, wire.pack((1, name))), 1)

    def _contact(self, number: str) -> Mutation:
        account = self._world.directory.by_number(number)
        jid = str(account.pn_jid) if account else f"{number}@s.whatsapp.net"
        name = self.contacts[number]
        value = wire.pack((1, name), (2, name.split()[0]), (3, str(account.lid_jid) if account else None), (4, 1))
        return Mutation(("contact", jid), _value(_CONTACT, value), 2)

    # Setting

    def rename(self, name: str) -> None:
        if not name or len(name) > NAME_CHARACTERS_MAX:
            raise SimulatorError("bad_name", f"A name has 1 to {NAME_CHARACTERS_MAX} characters.")
        self._account.name = name
        if self._begun:
            self._set("critical_block", [self._name()])

    def add_contact(self, number: str, name: str) -> None:
        if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
            raise SimulatorError("bad_name", f"A name has 1 to {NAME_CHARACTERS_MAX} characters.")
        self.contacts[number] = name
        if self._begun:
            self._set("critical_unblock_low", [self._contact(number)])

    def set_chat(self, chat: str, wanted: dict[str, bool]) -> None:
        """`muted`, `pinned`, `archived` or `read` of a chat, given by its address."""
        self.begin()
        for name, on in wanted.items():
            collection, index, version, number = _CHAT_SETTINGS[name]
            value = wire.pack((1, on), (2, FOREVER_MS if on else 0)) if name == "muted" else wire.pack((1, on))
            self._set(collection, [Mutation((index, chat), _value(number, value), version)])
            self.chats.setdefault(chat, {})[name] = on

    def _set(self, name: str, mutations: list[Mutation]) -> None:
        self.catch_up(name)
        patch = patches.write(self._states[name], self._keys, mutations, int(self._world.now() * 1_000))
        collections.publish(self._world, self._account, name, patch, self._phone)

    # Reading

    def catch_up(self, name: str) -> None:
        """Reads what linked devices set."""
        state, kept = self._states[name], self._account.app_state
        while state.version < kept.version(name):
            for patch in kept.since(name, state.version)[:APP_STATE_PAGE_PATCHES_MAX]:
                version = state.version + 1
                try:
                    changes = patches.read(state, self._keys, version, patch)
                except ProtocolError as problem:
                    # A device broke the collection; the phone goes on behind it, as the real one resets it.
                    self._world.log.add(
                        "app_state_broken", number=self._account.number, collection=name, why=str(problem)
                    )
                    state.version = version
                    continue
                for change in changes:
                    self._take(change)

    def _take(self, change: Mutation) -> None:
        value = wire.parse(change.value)
        if change.about[0] == "setting_pushName":
            self._account.name = value.message(_PUSH_NAME).text(1)[:NAME_CHARACTERS_MAX]
        for name, (_, index, _, number) in _CHAT_SETTINGS.items():
            if change.about[0] == index and len(change.about) > 1:
                self.chats.setdefault(change.about[1], {})[name] = bool(value.message(number).number(1))

    def as_json(self) -> dict[str, Any]:
        return {"name": self._account.name, "contacts": self.contacts, "chats": self.chats}

    # For linked devices

    def key_share(self) -> bytes:
        """AppStateSyncKeyShare with the one key there is."""
        fingerprint = wire.pack((1, int.from_bytes(self.key_id[2:], "big")), (2, 0), (3, b"\x00"))
        data = wire.pack((1, self.key), (2, fingerprint), (3, int(self._world.now() * 1_000)))
        return wire.pack((1, wire.pack((1, wire.pack((1, self.key_id))), (2, data))))


def _value(number: int, value: bytes) -> bytes:
    return wire.pack((number, value))
