"""What the library tells of groups and calls, as notices. Pure but for looking up people in the device's own store.

neonize 0.5.2 hands on neither the notification's id nor the other address of who made a change, and of a group that we came into
no time. So a notice is named by what it says, and a change by its time, its author and its version as well: the same words for
every device of the account. A group call is told as such, and a video call, by the attributes of the offer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from neonize import events as neonize_events

from keepline.domain import notices
from keepline.domain.addresses import GROUP_SERVER
from keepline.domain.link_events import NoticeHeard
from keepline.domain.notices import Move, Person
from keepline.domain.webhook_events import EventType
from keepline_connector.cell.store import DeviceStore
from keepline_connector.cell.translate import UNNUMBERED, both_of, kept_chat

# The attribute of an offer that says which group is called (whatsmeow, call.go).
_CALLED_GROUP = "group-jid"


def group_changed(event: Any, store: DeviceStore) -> Iterator[NoticeHeard]:
    """A change of a group. What we do not tell of (communities, requests to join) gives nothing."""
    by = _person(event.Sender, store) if event.HasField("Sender") else None
    chat = f"{event.JID.User}@{GROUP_SERVER}"
    at = datetime.fromtimestamp(event.Timestamp, UTC)
    name = [event.JID.User, event.Timestamp, event.Sender.User, event.ParticipantVersionID]
    for action, jids in (
        (Move.JOIN, event.Join),
        (Move.LEAVE, event.Leave),
        (Move.PROMOTE, event.Promote),
        (Move.DEMOTE, event.Demote),
    ):
        if jids:
            named = _name(*name, action.value, *(jid.User for jid in jids))
            members = [_person(jid, store) for jid in jids]
            said = notices.moved_members(by, action, members)
            yield NoticeHeard(UNNUMBERED, EventType.GROUP_PARTICIPANTS.value, chat, named, at, said)
            if action is Move.LEAVE and any(_is_own(member, store) for member in members):
                yield NoticeHeard(UNNUMBERED, EventType.GROUP_LEAVE.value, chat, named, at, notices.left_group(by))
    if changes := _changes(event):
        named = _name(*name, *changes.items())
        said = notices.updated_group(by, changes)
        yield NoticeHeard(UNNUMBERED, EventType.GROUP_UPDATE.value, chat, named, at, said)


def _changes(event: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if event.HasField("Name"):
        found["subject"] = event.Name.Name
    if event.HasField("Topic"):
        found["description"] = event.Topic.Topic
    if event.HasField("Announce"):
        found["announcement"] = event.Announce.IsAnnounce
    if event.HasField("Locked"):
        found["locked"] = event.Locked.isLocked
    if event.HasField("Ephemeral"):
        found["disappearing_s"] = event.Ephemeral.DisappearingTimer
    if event.HasField("NewInviteLink"):
        found["invite_link"] = event.NewInviteLink
    if event.HasField("Delete"):
        found["deleted"] = True
    return found


def group_joined(event: Any, store: DeviceStore) -> Iterator[NoticeHeard]:
    """We are in a group that we were not in, or have made it."""
    group = event.GroupInfo
    by = _person(event.Sender, store, event.SenderPN) if event.HasField("Sender") else None
    yield NoticeHeard(
        UNNUMBERED,
        EventType.GROUP_JOIN.value,
        f"{group.JID.User}@{GROUP_SERVER}",
        _name(group.JID.User, event.CreateKey, group.ParticipantVersionID),
        datetime.now(UTC),
        notices.joined_group(by, group.GroupName.Name),
    )


def offered_call(event: Any, store: DeviceStore) -> Iterator[NoticeHeard]:
    """Somebody calls us. What the offer holds says whether with pictures."""
    yield _call(event, store, any(child.Tag == "video" for child in event.data.Nodes), is_group=False)


def announced_call(event: Any, store: DeviceStore) -> Iterator[NoticeHeard]:
    """Somebody calls many, us among them."""
    yield _call(event, store, event.media == "video", is_group=event.type == "group")


def _call(event: Any, store: DeviceStore, is_video: bool, *, is_group: bool) -> NoticeHeard:
    meta = event.basicCallMeta
    creator, other = meta.callCreator, meta.callCreatorAlt
    group = next((one.jid.User for one in event.data.Attrs if one.name == _CALLED_GROUP and one.HasField("jid")), None)
    chat = f"{group}@{GROUP_SERVER}" if group else kept_chat(creator, other, store)
    caller = _person(creator, store, other)
    said = notices.call(meta.callID, caller, is_video=is_video, is_group=is_group or group is not None)
    at = datetime.fromtimestamp(meta.timestamp, UTC)
    return NoticeHeard(UNNUMBERED, EventType.CALL_RECEIVED.value, chat, _name(creator.User, meta.callID), at, said)


def _person(jid: Any, store: DeviceStore, other: Any = None) -> Person:
    phone, lid = both_of(jid, other, store)
    return {"phone": phone, "lid": lid}


def _is_own(person: Person, store: DeviceStore) -> bool:
    own = store.own_number()
    return own is not None and (
        person["phone"] == own.phone or (person["lid"] is not None and person["lid"] == own.lid)
    )


def _name(*parts: Any) -> str:
    return json.dumps(parts)


TRANSLATIONS: dict[Any, Callable[[Any, DeviceStore], Iterator[NoticeHeard]]] = {
    neonize_events.GroupInfoEv: group_changed,
    neonize_events.JoinedGroupEv: group_joined,
    neonize_events.CallOfferEv: offered_call,
    neonize_events.CallOfferNoticeEv: announced_call,
}
