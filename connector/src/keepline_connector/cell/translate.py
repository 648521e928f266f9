"""The library's events as link events. Pure but for looking up numbers in the device's own store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from neonize import events as neonize_events

from keepline.domain import link_events
from keepline.domain.addresses import LID_SERVER, PHONE_SERVER
from keepline.domain.content.references import Addressing
from keepline.domain.link_events import LinkEvent
from keepline_connector.cell.reading import Reader, Surroundings
from keepline_connector.cell.store import DeviceStore

# A journalled event gets its number from the journal.
UNNUMBERED = 0

_RECEIPTS = {
    neonize_events.ReceiptEv.DELIVERED: "delivered",
    neonize_events.ReceiptEv.READ: "read",
    neonize_events.ReceiptEv.PLAYED: "played",
    neonize_events.ReceiptEv.RETRY: "unreadable",
}
# The stanza's attribute `edit` (whatsmeow, types/message.go `EditAttributeAdminRevoke`).
_ADMIN_REVOKES = "8"
# neonize numbers WhatsApp's ban codes 101, 102, 103, 104 and 106 from 1 to 5.
_BAN_CODES = {1: 101, 2: 102, 3: 103, 4: 104, 5: 106}


def paired(event: Any, _: DeviceStore) -> LinkEvent | None:
    if event.Status != neonize_events.PairStatusEv.SUCCESS:
        return link_events.LinkFailed("unreachable", f"pairing: {event.Error}"[:200])
    return link_events.Paired(event.ID.User, None, event.ID.Device)


def connected(_: Any, store: DeviceStore) -> LinkEvent:
    own = store.own_number()
    return link_events.Connected(own.phone, own.lid) if own else link_events.Connected()


def banned(event: Any, _: DeviceStore) -> LinkEvent:
    return link_events.Banned(_BAN_CODES.get(event.Code, 0), max(0, event.Expire))


def message(event: Any, store: DeviceStore) -> LinkEvent | None:
    """A message, unless it carries nothing for people (keys, settings and other talk between devices)."""
    info, source = event.Info, event.Info.MessageSource
    phone, lid = both_of(source.Sender, source.SenderAlt, store)
    chat = _chat_of(source, store)
    addressing: Addressing = "lid" if source.Sender.Server == LID_SERVER else "phone"
    around = Surroundings(chat, source.IsFromMe, phone, lid, addressing, info.Edit == _ADMIN_REVOKES)
    read = Reader(store, around).read(event.Message)
    if read is None:
        return None
    return link_events.MessageHeard(
        seq=UNNUMBERED,
        wa_message_id=info.ID,
        chat=chat,
        sender_phone=phone,
        sender_lid=lid,
        from_me=source.IsFromMe,
        kind=read.kind,
        text=read.text,
        at=_time_of(info),
        tag=event.Message.messageContextInfo.messageSecret or None,
        content=read.content,
        addressing=addressing,
    )


def unreadable(event: Any, store: DeviceStore) -> LinkEvent | None:
    """A message that could not be decrypted, unless its sender marked it as none that people need to see."""
    info, source = event.Info, event.Info.MessageSource
    if event.DecryptFailMode == neonize_events.UndecryptableMessageEv.DECRYPT_FAIL_HIDE:
        return None
    phone, lid = both_of(source.Sender, source.SenderAlt, store)
    return link_events.MessageUnreadable(
        seq=UNNUMBERED,
        wa_message_id=info.ID,
        chat=_chat_of(source, store),
        sender_phone=phone,
        sender_lid=lid,
        from_me=source.IsFromMe,
        at=_time_of(info),
    )


def receipt(event: Any, _: DeviceStore) -> LinkEvent | None:
    status = _RECEIPTS.get(event.Type)
    if status is None or event.MessageSource.IsFromMe:
        return None
    at = datetime.fromtimestamp(event.Timestamp, UTC)
    return link_events.ReceiptHeard(UNNUMBERED, tuple(event.MessageIDs), status, at)


def _time_of(info: Any) -> datetime:
    return datetime.fromtimestamp(
        info.Timestamp / 1000, UTC
    )  # neonize gives milliseconds here and seconds in receipts.


def _chat_of(source: Any, store: DeviceStore) -> str:
    # The other address of the sender, or of the recipient for a copy of what another device of ours sent.
    other = source.RecipientAlt if source.IsFromMe else source.SenderAlt
    return kept_chat(source.Chat, None if source.IsGroup else other, store)


def kept_chat(chat: Any, other: Any, store: DeviceStore) -> str:
    """The chat in the form that we keep, by the phone number where it is known; a group's is its own."""
    if chat.Server == LID_SERVER:
        phone, _ = both_of(chat, other, store)
        return f"{phone}@{PHONE_SERVER}" if phone else f"{chat.User}@{LID_SERVER}"
    return f"{chat.User}@{chat.Server}"


def both_of(jid: Any, other: Any, store: DeviceStore) -> tuple[str | None, str | None]:
    """Phone and LID of somebody, from either address and what the store has learned."""
    phone = next((j.User for j in (jid, other) if j is not None and j.Server == PHONE_SERVER and j.User), None)
    lid = next((j.User for j in (jid, other) if j is not None and j.Server == LID_SERVER and j.User), None)
    if phone is None and lid is not None:
        phone = store.phone_of_lid(lid)
    if lid is None and phone is not None:
        lid = store.lid_of_phone(phone)
    return phone, lid


TRANSLATIONS: dict[Any, Callable[[Any, DeviceStore], LinkEvent | None]] = {
    neonize_events.PairStatusEv: paired,
    neonize_events.ConnectedEv: connected,
    neonize_events.OfflineSyncCompletedEv: lambda _, __: link_events.CaughtUp(),
    neonize_events.DisconnectedEv: lambda _, __: link_events.Disconnected(),
    neonize_events.LoggedOutEv: lambda event, _: link_events.LoggedOut(event.Reason),
    neonize_events.TemporaryBanEv: banned,
    neonize_events.ClientOutdatedEv: lambda _, __: link_events.Outdated(),
    neonize_events.StreamReplacedEv: lambda _, __: link_events.Replaced(),
    neonize_events.ConnectFailureEv: lambda event, _: link_events.LinkFailed("login_refused", event.Message[:200]),
    neonize_events.KeepAliveTimeoutEv: lambda _, __: link_events.Stalled(),
    neonize_events.KeepAliveRestoredEv: lambda _, __: link_events.Resumed(),
    neonize_events.MessageEv: message,
    neonize_events.UndecryptableMessageEv: unreadable,
    neonize_events.ReceiptEv: receipt,
}
