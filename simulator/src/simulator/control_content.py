"""The part of the control API by which people use a phone: messages of every kind, files, groups, presence, profile, settings."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from simulator import calls
from simulator.accounts import Account, Companion
from simulator.acts import MEDIA_KINDS, Acts
from simulator.control_body import Body
from simulator.errors import SimulatorError
from simulator.groups import changes
from simulator.groups.model import Group
from simulator.jid import GROUP_SERVER, LID_SERVER, PN_SERVER, Jid, try_parse_jid
from simulator.limits import CLOCK_SECONDS_MAX
from simulator.phone import Phone
from simulator.world import World

Answer = tuple[int, dict[str, Any]]
Route = Callable[..., Awaitable[Answer]]
Query = dict[str, str] | None
_CHAT_FLAGS = ("muted", "pinned", "archived", "read")


class ContentRoutes:
    """Each route is a method that gives a status and a JSON object."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[tuple[str, str, Route]]:
        phone, device, message = r"/phones/(?P<number>[^/]+)", r"(?P<device>[^/]+)", r"(?P<message>[^/]+)"
        group = r"/groups/(?P<group>[^/]+)"
        return [
            ("POST", f"{phone}/link-code", self._link_code),
            ("POST", f"{phone}/devices/{device}/expire", self._expire),
            ("POST", "/clock/advance", self._advance),
            ("POST", f"{phone}/messages", self._send),
            ("GET", f"{phone}/messages/{message}/media", self._media),
            ("DELETE", f"{phone}/messages/{message}/media", self._remove_media),
            ("POST", f"{phone}/calls", self._call),
            ("POST", f"{phone}/typing", self._type),
            ("GET", f"{phone}/typing", self._typing),
            ("POST", f"{phone}/presence", self._set_presence),
            ("GET", f"{phone}/presence", self._presence),
            ("POST", f"{phone}/profile", self._set_profile),
            ("GET", f"{phone}/profile", self._profile),
            ("POST", f"{phone}/contacts", self._add_contact),
            ("POST", f"{phone}/chats", self._set_chat),
            ("GET", f"{phone}/settings", self._settings),
            ("POST", f"{phone}/forget", self._forget),
            ("GET", "/groups", self._groups),
            ("POST", "/groups", self._create_group),
            ("POST", "/groups/join", self._join_group),
            ("GET", group, self._group),
            ("POST", group, self._change_group),
            ("POST", f"{group}/members", self._change_members),
            ("POST", f"{group}/leave", self._leave_group),
            ("POST", f"{group}/link", self._new_link),
        ]

    def _phone(self, number: str) -> Phone:
        return self._world.phone(number)

    # Linking

    async def _link_code(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        code = take.string("code")
        take.done()
        companion = await self._world.link_codes.enter(self._phone(number), code)
        return 200, {"jid": str(companion.pn), "lid": str(companion.lid), "device": companion.number}

    async def _expire(self, number: str, device: str, body: dict[str, Any]) -> Answer:
        Body(body).done()
        companion = find_device(self._phone(number), device)
        self._world.log.add("expired", number=companion.account.number, device=companion.number)
        self._world.unlink(companion)
        return 200, {"expired": str(companion.pn)}

    async def _advance(self, body: dict[str, Any]) -> Answer:
        take = Body(body)
        seconds = take.number("seconds")
        take.done()
        if not 0 < seconds <= CLOCK_SECONDS_MAX:
            raise SimulatorError("bad_field", f"`seconds` must be between 0 and {CLOCK_SECONDS_MAX:.0f}.")
        self._world.clock.skipped_seconds += seconds
        removed = self._world.remove_absent()
        return 200, {"now": self._world.now(), "removed": removed}

    # Messages

    async def _send(self, number: str, body: dict[str, Any]) -> Answer:
        take, acts = Body(body), self._phone(number).acts
        kind = take.string("kind", "text")
        sender = _KINDS.get(kind)
        if sender is None:
            raise SimulatorError(
                "bad_kind", f"{kind[:20]!r} is not a kind of message.", f"Use one of: {', '.join(_KINDS)}."
            )
        return 200, {"id": sender(acts, take, kind)}

    async def _media(self, number: str, message: str, query: Query = None) -> Answer:
        data = self._phone(number).acts.download(message)
        found = self._phone(number).chats.find(message)
        mimetype = found.fields.get("mimetype", "") if found else ""
        sha256 = hashlib.sha256(data).hexdigest()
        return 200, {"mimetype": mimetype, "size": len(data), "sha256": sha256, "data": base64.b64encode(data).decode()}

    async def _remove_media(self, number: str, message: str) -> Answer:
        found = self._phone(number).chats.find(message)
        if found is None or found.media is None:
            raise SimulatorError("no_media", f"The message {message[:64]} has no file.", status=404)
        return 200, {"removed": self._world.media.remove(found.media.path)}

    async def _call(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        to, video = take.string("to"), take.flag("video", False)
        take.done()
        phone = self._phone(number)
        called = phone.acts.chat(to)
        if not isinstance(called, Account | Group):
            raise SimulatorError("bad_call", "Nobody calls a status.", "Give a number or a group in `to`.")
        return 201, {"id": calls.ring(self._world, phone.account, called, video=video)}

    # Presence

    async def _type(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        to, state = take.string("to"), take.string("state", "composing")
        take.done()
        self._phone(number).acts.typing(to, state)
        return 200, {"state": state}

    async def _typing(self, number: str, query: Query = None) -> Answer:
        return 200, {"typing": self._world.presences.typing_seen(self._phone(number).account)}

    async def _set_presence(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        online = take.flag("online")
        take.done()
        phone = self._phone(number)
        self._world.presences.set(phone, online)
        return 200, self._world.presences.state(phone.account)

    async def _presence(self, number: str, query: Query = None) -> Answer:
        return 200, self._world.presences.state(self._phone(number).account)

    # Profile and settings

    async def _set_profile(self, number: str, body: dict[str, Any]) -> Answer:
        take, phone = Body(body), self._phone(number)
        name, about = take.text("name", None), take.text("about", None)
        picture = take.data("picture") if "picture" in take else None
        invite_only = take.flag("invite_only") if "invite_only" in take else None
        take.done()
        if invite_only is not None:
            self._world.profiles.set_invite_only(phone.account, invite_only)
        if name is not None:
            phone.settings.rename(name)
        if about is not None:
            self._world.profiles.set_about(phone.account, about)
        if picture is not None:
            self._world.profiles.set_picture(phone.account.pn_jid, picture or None, phone.account)
        return 200, self._world.profiles.as_json(phone.account)

    async def _profile(self, number: str, query: Query = None) -> Answer:
        return 200, self._world.profiles.as_json(self._phone(number).account)

    async def _add_contact(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        contact, name = take.string("number"), take.string("name")
        take.done()
        self._phone(number).settings.add_contact(self._phone(contact).account.number, name)
        return 200, self._phone(number).settings.as_json()

    async def _set_chat(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        chat = take.string("chat")
        wanted = {flag: take.flag(flag) for flag in _CHAT_FLAGS if flag in take}
        take.done()
        if not wanted:
            raise SimulatorError("missing_field", f"Say what to set: {', '.join(_CHAT_FLAGS)}.")
        address = chat if "@" in chat else str(self._phone(chat).account.lid_jid)
        self._phone(number).settings.set_chat(address, wanted)
        return 200, self._phone(number).settings.as_json()

    async def _settings(self, number: str, query: Query = None) -> Answer:
        return 200, self._phone(number).settings.as_json()

    async def _forget(self, number: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        what, other, group = take.string("what"), take.string("number", ""), take.string("group", "")
        take.done()
        self._phone(number).forget(what, other, group)
        return 200, {"forgotten": what}

    # Groups

    def _find_group(self, group: str) -> Group:
        return self._world.groups.require(try_parse_jid(group) if "@" in group else Jid(group, GROUP_SERVER))

    def _accounts(self, numbers: list[str]) -> list[Account]:
        return [self._phone(number).account for number in numbers]

    async def _groups(self, query: Query = None) -> Answer:
        return 200, {"groups": [group.as_json() for group in self._world.groups.all()]}

    async def _group(self, group: str, query: Query = None) -> Answer:
        return 200, self._find_group(group).as_json()

    async def _create_group(self, body: dict[str, Any]) -> Answer:
        take = Body(body)
        by, subject, members = take.string("by"), take.string("subject"), take.strings("members")
        addressing = {"lid": LID_SERVER, "pn": PN_SERVER}.get(take.string("addressing", "lid"))
        take.done()
        if addressing is None:
            raise SimulatorError("bad_addressing", "`addressing` is `lid` or `pn`.")
        owner = self._phone(by).account
        return 201, changes.create(self._world, owner, subject, self._accounts(members), addressing).as_json()

    async def _change_group(self, group: str, body: dict[str, Any]) -> Answer:
        take, found = Body(body), self._find_group(group)
        by = self._phone(take.string("by")).account
        subject, description = take.text("subject", None), take.text("description", None)
        flags = {flag: take.flag(flag) for flag in ("announcement", "locked") if flag in take}
        take.done()
        if subject is not None:
            changes.set_subject(self._world, found, by, subject)
        if description is not None:
            changes.set_description(self._world, found, by, description, self._world.message_id())
        for flag, on in flags.items():
            changes.set_flag(self._world, found, by, flag, on)
        return 200, found.as_json()

    async def _change_members(self, group: str, body: dict[str, Any]) -> Answer:
        take, found = Body(body), self._find_group(group)
        by, action, members = take.string("by"), take.string("action"), take.texts("members")
        take.done()
        if action not in changes.ACTIONS:
            raise SimulatorError(
                "bad_action", f"{action[:20]!r} is not a change.", f"Use one of: {', '.join(changes.ACTIONS)}."
            )
        results = changes.change_members(self._world, found, self._phone(by).account, action, self._accounts(members))
        return 200, {"members": [{"number": one.number, "error": error or None} for one, error in results]}

    async def _leave_group(self, group: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        number = take.string("number")
        take.done()
        changes.leave(self._world, self._find_group(group), self._phone(number).account)
        return 200, self._find_group(group).as_json()

    async def _new_link(self, group: str, body: dict[str, Any]) -> Answer:
        take = Body(body)
        by = take.string("by")
        take.done()
        return 200, {"link": changes.new_link(self._world, self._find_group(group), self._phone(by).account)}

    async def _join_group(self, body: dict[str, Any]) -> Answer:
        take = Body(body)
        number, link = take.string("number"), take.string("link")
        take.done()
        return 200, changes.join(self._world, link, self._phone(number).account).as_json()


def find_device(phone: Phone, device: str) -> Companion:
    companion = phone.account.companions.get(int(device)) if device.isdigit() else None
    if companion is None:
        raise SimulatorError(
            "no_such_device", f"{phone.account.number} has no linked device {device[:20]!r}.",
            "GET /phones/{number}/devices lists them.", status=404,
        )  # fmt: skip
    return companion


# The kinds of messages ------------------------------------------------------------------------------------------------


def _readers(take: Body) -> list[str] | None:
    return take.texts("readers") if "readers" in take else None


def _text(acts: Acts, take: Body, kind: str) -> str:
    to, text, quote, mentions = (
        take.string("to"),
        take.string("text"),
        take.string("quote", ""),
        take.strings("mentions"),
    )
    readers, addressing = _readers(take), take.string("addressing", "lid")
    take.done()
    return acts.text(to, text, quote=quote, mentions=mentions, readers=readers, addressing=addressing)


def _media(acts: Acts, take: Body, kind: str) -> str:
    to, data = take.string("to"), take.data("data")
    mimetype, caption, filename = take.string("mimetype", ""), take.string("caption", ""), take.string("filename", "")
    seconds, view_once = take.count("seconds", 0), take.flag("view_once", False)
    quote, mentions, readers = take.string("quote", ""), take.strings("mentions"), _readers(take)
    addressing = take.string("addressing", "lid")
    take.done()
    return acts.media(
        to, kind, data, mimetype=mimetype, caption=caption, filename=filename, seconds=seconds, view_once=view_once,
        quote=quote, mentions=mentions, readers=readers, addressing=addressing,
    )  # fmt: skip


def _location(acts: Acts, take: Body, kind: str) -> str:
    to, latitude, longitude = take.string("to"), take.number("latitude"), take.number("longitude")
    name, address, addressing = take.string("name", ""), take.string("address", ""), take.string("addressing", "lid")
    take.done()
    return acts.location(to, latitude, longitude, name=name, address=address, addressing=addressing)


def _contact(acts: Acts, take: Body, kind: str) -> str:
    to, name, number = take.string("to"), take.string("name"), take.string("contact", "")
    vcard, addressing = take.string("vcard", ""), take.string("addressing", "lid")
    take.done()
    return acts.contact(to, name, number, vcard=vcard, addressing=addressing)


def _poll(acts: Acts, take: Body, kind: str) -> str:
    to, question, options = take.string("to"), take.string("question"), take.texts("options")
    choices, addressing = take.count("choices", 1), take.string("addressing", "lid")
    take.done()
    return acts.poll(to, question, options, choices=choices, addressing=addressing)


def _vote(acts: Acts, take: Body, kind: str) -> str:
    target, options = take.string("target"), take.strings("options")
    take.done()
    return acts.vote(target, options)


def _reaction(acts: Acts, take: Body, kind: str) -> str:
    target, emoji = take.string("target"), take.string("emoji")
    take.done()
    return acts.react(target, emoji)


def _edit(acts: Acts, take: Body, kind: str) -> str:
    target, text = take.string("target"), take.string("text")
    take.done()
    return acts.edit(target, text)


def _revoke(acts: Acts, take: Body, kind: str) -> str:
    target = take.string("target")
    take.done()
    return acts.revoke(target)


_KINDS: dict[str, Callable[[Acts, Body, str], str]] = {
    "text": _text,
    **dict.fromkeys(MEDIA_KINDS, _media),
    "location": _location,
    "contact": _contact,
    "poll": _poll,
    "vote": _vote,
    "reaction": _reaction,
    "edit": _edit,
    "revoke": _revoke,
}
