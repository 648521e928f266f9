"""Who is online, who wants to know, and who types (whatsmeow presence.go). None of it is kept for devices that are away."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator.accounts import Account, Companion, Device
from simulator.errors import SimulatorError
from simulator.groups.model import Group
from simulator.jid import GROUP_SERVER, LID_SERVER, Jid
from simulator.limits import PRESENCE_SUBSCRIPTIONS_MAX, PRESENCES_SEEN_MAX
from simulator.nodes import Node, Value

if TYPE_CHECKING:
    from simulator.phone import Phone
    from simulator.world import World

STATES = {"composing": Node("composing"), "recording": Node("composing", {"media": "audio"}), "paused": Node("paused")}


@dataclass(slots=True)
class _Online:
    """One account's presence."""

    available: set[Device] = field(default_factory=set)
    last_seen: float = 0.0
    # Devices that asked to be told.
    subscribers: dict[Companion, Jid] = field(default_factory=dict)


class Presences:
    """The presence of every account."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._accounts: dict[Account, _Online] = {}
        self._watching: dict[Companion, set[Account]] = {}
        # What phones saw: typing in their chats, newest last.
        self._typing: dict[Account, deque[dict[str, Any]]] = {}

    def _of(self, account: Account) -> _Online:
        return self._accounts.setdefault(account, _Online())

    # Online and offline

    def handle(self, device: Companion, node: Node) -> None:
        """`<presence>` from a linked device: its own state, or the wish to know someone else's."""
        kind = node.text("type")
        if kind in ("available", "unavailable"):
            name = node.text("name")
            self._world.log.add(
                "presence", number=device.account.number, device=device.number, state=kind, name=name or None
            )
            self.set(device, kind == "available")
        elif kind in ("subscribe", "unsubscribe"):
            to = node.jid("to")
            account = self._world.account_at(to.account()) if to else None
            if to is not None and account is not None:
                self._subscribe(device, account, to, kind == "subscribe")

    def set(self, device: Device, available: bool) -> None:
        online = self._of(device.account)
        before = bool(online.available)
        (online.available.add if available else online.available.discard)(device)
        if before != bool(online.available):
            online.last_seen = self._world.now()
            for subscriber, asked in list(online.subscribers.items()):
                self._tell(subscriber, asked, online)

    def left(self, device: Companion) -> None:
        """A connection ended: it is online no more, and what it wanted to know it must ask again."""
        if device.account in self._accounts:
            self.set(device, False)
        for account in self._watching.pop(device, ()):
            self._of(account).subscribers.pop(device, None)

    def _subscribe(self, device: Companion, account: Account, asked: Jid, wanted: bool) -> None:
        online = self._of(account)
        if not wanted:
            online.subscribers.pop(device, None)
            return
        if len(online.subscribers) < PRESENCE_SUBSCRIPTIONS_MAX:
            online.subscribers[device] = asked.account()
            self._watching.setdefault(device, set()).add(account)
        self._tell(device, asked.account(), online)

    def _tell(self, device: Companion, asked: Jid, online: _Online) -> None:
        # Only who is online is told who else is (whatsmeow `SubscribePresence`).
        if device.link is None or device not in self._of(device.account).available:
            return
        attrs: dict[str, Value] = {"from": asked}
        if not online.available:
            attrs["type"] = "unavailable"
            attrs["last"] = str(int(online.last_seen)) if online.last_seen else "deny"
        device.link.send(Node("presence", attrs))

    def state(self, account: Account) -> dict[str, Any]:
        """What a phone sees of a contact."""
        online = self._of(account)
        devices = sorted(device.number for device in online.available)
        return {
            "number": account.number,
            "online": bool(devices),
            "devices": devices,
            "last_seen": online.last_seen or None,
        }

    # Typing

    def chat_state(self, device: Companion, node: Node) -> None:
        """`<chatstate>` from a linked device."""
        to = node.jid("to")
        if to is None or len(node.children()) != 1:
            return
        if to.server == GROUP_SERVER:
            group = self._world.groups.get(to)
            if group is not None and device.account in group.members:
                self._spread(device, group, node.children()[0], group.addressing)
            return
        account = self._world.directory.by_jid(to.account())
        if account is not None:
            self._spread(device, account, node.children()[0], to.server)

    def phone_types(self, phone: Phone, chat: Account | Group, state: str) -> None:
        if state not in STATES:
            raise SimulatorError(
                "bad_state", f"{state[:20]!r} is not a way to type.", f"Use one of: {', '.join(STATES)}."
            )
        self._spread(phone, chat, STATES[state], chat.addressing if isinstance(chat, Group) else LID_SERVER)

    def _spread(self, sender: Device, chat: Account | Group, state: Node, server: str) -> None:
        attrs: dict[str, Value] = {"from": sender.jid(server).account()}
        people: list[Account] = [chat] if isinstance(chat, Account) else list(chat.members)
        if isinstance(chat, Group):
            attrs = {"from": chat.jid, "participant": sender.jid(server)}
        told = state.tag if "media" not in state.attrs else "recording"
        for account in people:
            if account is sender.account:
                continue
            self._note(account, sender.account, chat, told)
            for device in account.companions.values():
                if device.link is not None:
                    device.link.send(Node("chatstate", attrs, [state]))

    def _note(self, account: Account, sender: Account, chat: Account | Group, state: str) -> None:
        seen = self._typing.setdefault(account, deque(maxlen=PRESENCES_SEEN_MAX))
        place = str(chat.jid) if isinstance(chat, Group) else sender.number
        seen.append({"from": sender.number, "chat": place, "state": state, "at": self._world.now()})

    def typing_seen(self, account: Account) -> list[dict[str, Any]]:
        return list(self._typing.get(account, ()))
