"""What a phone does for its own linked devices: the key of the app state, history, and messages that they could not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator import history, wire
from simulator.accounts import Companion, Device
from simulator.messages import schema, writing
from simulator.messages.reading import Content, read_key

if TYPE_CHECKING:
    from simulator.phone import Phone
    from simulator.world import World

# A request for messages again holds few keys; anything longer is cut.
_RESENDS_MAX = 100


class Primary:
    """The duties of one phone towards the devices linked to it."""

    def __init__(self, world: World, phone: Phone) -> None:
        self._world = world
        self._phone = phone

    def welcome(self, device: Companion) -> None:
        """What a device gets after its first login."""
        self._phone.settings.begin()
        self.share_key(device)
        for draft in (history.bootstrap(self._world, self._phone), history.push_names(self._world, self._phone)):
            self._phone.outbox.tell_own_device(device, draft)

    def share_key(self, device: Device) -> None:
        share = self._phone.settings.key_share()
        self._phone.outbox.tell_own_device(device, writing.protocol(schema.KEY_SHARE, schema.PROTOCOL_KEY_SHARE, share))

    def asked(self, device: Device, request_id: str, content: Content) -> None:
        """A peer message from a linked device."""
        protocol = content.protocol
        if protocol is None:
            return
        kind = protocol.number(schema.PROTOCOL_TYPE)
        if kind == schema.KEY_REQUEST:
            self.share_key(device)
        elif kind == schema.PEER_REQUEST:
            self._operation(device, request_id, protocol.message(schema.PROTOCOL_PEER_REQUEST))

    def _operation(self, device: Device, request_id: str, request: wire.Fields) -> None:
        kind = request.number(1)
        if kind == schema.HISTORY_ON_DEMAND:
            self._phone.outbox.tell_own_device(device, history.on_demand(self._world, self._phone, request.message(4)))
        elif kind == schema.PLACEHOLDER_RESEND:
            found = [self._resent(one) for one in request.messages(5)[:_RESENDS_MAX]]
            results = [wire.pack((4, wire.pack((1, one)))) for one in found if one]
            answer = wire.pack((1, kind), (2, request_id), *wire.repeated(3, results))
            draft = writing.protocol(schema.PEER_ANSWER, schema.PROTOCOL_PEER_ANSWER, answer)
            self._phone.outbox.tell_own_device(device, draft)

    def _resent(self, asked: wire.Fields) -> bytes | None:
        """A message that a device could not read, as the phone shows it."""
        key = read_key(asked.message(1))
        message = self._phone.chats.find(key.id)
        if message is None or not message.message:
            return None
        return history.web_message(self._world, self._phone, key.chat, message)
