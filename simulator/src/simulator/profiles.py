"""What people show of themselves: a picture and a line about them, for numbers and (pictures only) groups."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.accounts import Account, Companion
from simulator.errors import QueryError, SimulatorError
from simulator.jid import GROUP_SERVER, Jid
from simulator.limits import ABOUT_CHARACTERS_MAX, PICTURE_BYTES_MAX
from simulator.media.store import PICTURE_HOST, Stored
from simulator.nodes import Node, Value

if TYPE_CHECKING:
    from simulator.world import World

DEFAULT_ABOUT = "Hey there! I am using WhatsApp."
# whatsmeow user.go `mutationUpdateTextStatus`: the stored GraphQL query that sets the line about oneself.
_MEX_SET_ABOUT = "9152604461510864"


@dataclass(slots=True)
class Picture:
    # Changes with the picture; clients ask "is it still this one?".
    id: str
    stored: Stored
    sha256: bytes


class Profiles:
    """The profiles of everyone, by address without device."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pictures: dict[Jid, Picture] = {}
        self._about: dict[Account, str] = {}
        # Whom nobody may put into a group; who tries may send an invitation.
        self._invite_only: set[Account] = set()
        self._next_id = 1_700_000_000

    def is_invite_only(self, account: Account) -> bool:
        return account in self._invite_only

    def set_invite_only(self, account: Account, on: bool) -> None:
        (self._invite_only.add if on else self._invite_only.discard)(account)

    def about(self, account: Account) -> str:
        return self._about.get(account, DEFAULT_ABOUT)

    def set_about(self, account: Account, about: str) -> None:
        if len(about) > ABOUT_CHARACTERS_MAX:
            raise SimulatorError(
                "bad_about", f"What is said about oneself has at most {ABOUT_CHARACTERS_MAX} characters."
            )
        self._about[account] = about
        attrs: dict[str, Value] = {"from": account.lid_jid, "type": "status", "t": self._world.timestamp()}
        self._tell(account, attrs, Node("set", {}, about.encode()))

    def picture(self, owner: Jid) -> Picture | None:
        return self._pictures.get(self._key(owner))

    def _key(self, owner: Jid) -> Jid:
        """One key for both of an account's addresses."""
        account = self._world.directory.by_jid(owner.account())
        return account.pn_jid if account else owner

    def set_picture(self, owner: Jid, data: bytes | None, by: Account) -> str:
        """A JPEG, or None to remove it; gives the picture's id."""
        key = self._key(owner)
        if data is None:
            self._pictures.pop(key, None)
            self._announce(owner, by, Node("delete", {"jid": owner}))
            return "remove"
        if not data.startswith(b"\xff\xd8") or len(data) > PICTURE_BYTES_MAX:
            raise QueryError(
                "bad_picture", f"A picture is a JPEG of at most {PICTURE_BYTES_MAX} bytes.", query_code=406
            )
        self._next_id += 1
        stored = self._world.media.put(data, "picture", PICTURE_HOST)
        self._pictures[key] = Picture(str(self._next_id), stored, hashlib.sha256(data).digest())
        self._announce(owner, by, Node("set", {"jid": owner, "id": str(self._next_id), "author": by.lid_jid}))
        return str(self._next_id)

    def _announce(self, owner: Jid, by: Account, change: Node) -> None:
        attrs: dict[str, Value] = {"from": owner, "type": "picture", "t": self._world.timestamp()}
        group = self._world.groups.get(owner)
        if group is None:
            self._tell(by, attrs, change)
            return
        for device in group.devices():
            device.deliver(Node("notification", {**attrs, "id": self._world.message_id()}, [change]), None)

    def _tell(self, account: Account, attrs: dict[str, Value], change: Node) -> None:
        """Tells everyone who has a chat with an account, and its own devices."""
        numbers = {message.chat for message in account.phone.chats.all()} | {account.number}
        for number in numbers:
            other = self._world.directory.by_number(number)
            for device in other.companions.values() if other else ():
                device.deliver(Node("notification", {**attrs, "id": self._world.message_id()}, [change]), None)

    def as_json(self, account: Account) -> dict[str, Any]:
        picture = self.picture(account.pn_jid)
        return {
            "name": account.name, "about": self.about(account), "picture": picture.id if picture else None,
            "invite_only": self.is_invite_only(account),
        }  # fmt: skip


# Queries


def answer_picture_get(world: World, device: Companion, query: Node) -> list[Node]:
    """`w:profile:picture`: where a picture is (whatsmeow user.go `GetProfilePictureInfo`)."""
    asked, target = query.child("picture"), query.jid("target") or query.jid("to")
    picture = world.profiles.picture(target) if target else None
    if asked is None or picture is None:
        raise QueryError("no_picture", "There is no picture.", status=404)
    if asked.text("id") == picture.id:
        return [Node("picture", {"status": "304"})]
    attrs: dict[str, Value] = {"id": picture.id, "url": picture.stored.url, "type": asked.text("type", "image")}
    return [Node("picture", {**attrs, "direct_path": picture.stored.direct_path})]


def answer_picture_set(world: World, device: Companion, query: Node) -> list[Node]:
    owner = query.jid("target") or device.account.pn_jid
    if owner.server == GROUP_SERVER:
        world.groups.require(owner).may_change_settings(device.account)
    elif world.directory.by_jid(owner.account()) is not device.account:
        raise QueryError("not_yours", "That is someone else's picture.", status=403)
    asked = query.child("picture")
    picture_id = world.profiles.set_picture(owner.account(), asked.data() if asked else None, device.account)
    return [Node("picture", {"id": picture_id})]


def answer_about_set(world: World, device: Companion, query: Node) -> list[Node]:
    """The older way to set the line about oneself."""
    asked = query.child("status")
    if asked is not None:
        world.profiles.set_about(device.account, asked.data().decode("utf-8", "replace"))
    return []


def answer_mex(world: World, device: Companion, query: Node) -> list[Node]:
    """Stored GraphQL queries, as JSON; those that are not known get an empty answer."""
    asked = query.child("query")
    data: dict[str, Any] = {}
    if asked is not None and asked.text("query_id") == _MEX_SET_ABOUT:
        try:
            about = json.loads(asked.data())["variables"]["input"]["text"]
        except (ValueError, KeyError, TypeError):
            raise QueryError("bad_request", "The query is malformed.") from None
        world.profiles.set_about(device.account, str(about or ""))
        data = {"xwa2_users_update_text_status": {"result": "SUCCESS"}}
    return [Node("result", {}, json.dumps({"data": data}).encode())]
