"""Info queries: questions of clients that the server answers at once. One handler per namespace and type.

An IQ without a handler gets an empty result; clients are content with that (measured with whatsmeow).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator import profiles
from simulator.accounts import Account, Companion
from simulator.appstate import collections
from simulator.errors import QueryError
from simulator.groups import queries as group_queries
from simulator.jid import LEGACY_SERVER, LID_SERVER, PN_SERVER, Jid, parse_jid
from simulator.limits import PREKEYS_PER_DEVICE_MAX, RECIPIENTS_PER_USYNC_MAX
from simulator.media import queries as media_queries
from simulator.nodes import Node, Value
from simulator.retries import bundle_nodes, parse_key, registration_node
from simulator.stanzas import query_error

if TYPE_CHECKING:
    from simulator.world import World


class IqError(Exception):
    """The answer is `<error code text/>`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


Handler = Callable[["World", Companion, Node], list[Node]]


def answer(world: World, device: Companion, query: Node) -> Node:
    """The result (or error) for a query of a logged-in device."""
    handler = HANDLERS.get((query.text("xmlns"), query.text("type")))
    attrs: dict[str, Value] = {"id": query.text("id"), "from": query.attrs.get("to", Jid("", PN_SERVER))}
    try:
        content = handler(world, device, query) if handler else []
    except IqError as problem:
        error = Node("error", {"code": str(problem.code), "text": problem.text})
        return Node("iq", {**attrs, "type": "error"}, [error])
    except QueryError as problem:
        return Node("iq", {**attrs, "type": "error"}, [query_error(problem.query_code)])
    return Node("iq", {**attrs, "type": "result"}, content or None)


# usync: who is on WhatsApp, with which devices ------------------------------------------------------------------------


def _usync(world: World, device: Companion, query: Node) -> list[Node]:
    usync = query.child("usync")
    wanted, users = query.child("usync", "query"), query.child("usync", "list")
    if usync is None or wanted is None or users is None:
        raise IqError(400, "bad-request")
    if len(users.children()) > RECIPIENTS_PER_USYNC_MAX:
        raise IqError(413, "too-many-users")
    topics = {topic.tag: topic for topic in wanted.children()}
    results = [found for user in users.all("user") if (found := _usync_user(world, user, topics)) is not None]
    attrs: dict[str, Value] = {
        key: usync.attrs[key] for key in ("sid", "mode", "index", "last", "context") if key in usync.attrs
    }
    return [Node("usync", attrs, [Node("result", {}, [Node(tag) for tag in topics]), Node("list", {}, results)])]


def _usync_user(world: World, user: Node, topics: dict[str, Node]) -> Node | None:
    contact = user.child("contact")
    jid = user.jid("jid")
    if jid is None and contact is not None:
        asked = parse_jid(contact.data().decode("utf-8", "replace"))
        if asked.server in (LEGACY_SERVER, PN_SERVER, ""):
            jid = Jid((asked.user or asked.server).lstrip("+"), PN_SERVER)
    if jid is None:
        return None
    account = world.account_at(jid.account())
    attrs: dict[str, Value] = {"jid": jid}
    if (
        contact is not None
        and account is not None
        and topics.get("contact", contact).text("addressing_mode") == LID_SERVER
    ):
        attrs = {"jid": account.lid_jid, "pn_jid": account.pn_jid}
    parts = [part for tag in topics if (part := _usync_topic(world, tag, account, contact)) is not None]
    return Node("user", attrs, parts)


def _usync_topic(world: World, tag: str, account: Account | None, contact: Node | None) -> Node | None:
    if tag == "contact":
        return Node("contact", {"type": "in" if account else "out"}, contact.data() if contact else None)
    if account is None:
        return None
    if tag == "devices":
        devices = [Node("device", {"id": str(device.number)}) for device in account.devices()]
        return Node("devices", {}, [Node("device-list", {}, devices)])
    if tag == "lid":
        return Node("lid", {"val": account.lid_jid})
    if tag == "status":
        return Node("status", {}, world.profiles.about(account).encode())
    if tag == "picture":
        picture = world.profiles.picture(account.pn_jid)
        return Node("picture", {"id": picture.id}) if picture else None
    return None


# encrypt: one-time keys ----------------------------------------------------------------------------------------------


def _encrypt_get(world: World, device: Companion, query: Node) -> list[Node]:
    if query.child("count"):
        return [Node("count", {"value": str(len(device.keys.one_time))})]
    if query.child("digest"):
        keys = device.keys
        parts = [registration_node(keys.registration_id), Node("identity", {}, keys.identity)]
        return [Node("digest", {}, parts)]
    wanted = query.child("key")
    if wanted is None:
        raise IqError(400, "bad-request")
    return [Node("list", {}, [_bundle_of(world, user) for user in wanted.all("user")])]


def _bundle_of(world: World, user: Node) -> Node:
    jid = user.jid("jid")
    device = world.directory.device(jid) if jid else None
    if jid is None or device is None:
        return Node("user", {"jid": jid or ""}, [Node("error", {"code": "404", "text": "item-not-found"})])
    bundle = device.take_bundle()
    if isinstance(device, Companion):
        world.keys_used(device)
    return Node("user", {"jid": jid}, [registration_node(bundle.registration_id), *bundle_nodes(bundle)])


def _encrypt_set(world: World, device: Companion, query: Node) -> list[Node]:
    listing, keys = query.child("list"), device.keys
    # A device changes its signed prekey alone with `rotate`.
    signed = parse_key(query.child("skey") or query.child("rotate", "skey"))
    identity, registration = query.child("identity"), query.child("registration")
    if identity is not None and identity.data() != keys.identity:
        raise IqError(409, "identity-changed")
    if registration is not None:
        keys.registration_id = int.from_bytes(registration.data(), "big")
    if signed is not None:
        keys.signed_id, keys.signed_key, keys.signature = signed
    for node in listing.children() if listing else ():
        parsed = parse_key(node)
        if parsed is not None and len(keys.one_time) < PREKEYS_PER_DEVICE_MAX:
            keys.one_time.append(parsed[:2])
    return []


# md: linked devices --------------------------------------------------------------------------------------------------


def _remove_companion(world: World, device: Companion, query: Node) -> list[Node]:
    removal = query.child("remove-companion-device")
    jid = removal.jid("jid") if removal else None
    target = world.directory.device(jid) if jid else None
    if isinstance(target, Companion) and target.account is device.account:
        world.later(lambda: world.unlink(target))
    return []


# privacy and others --------------------------------------------------------------------------------------------------

# What a fresh account has (whatsmeow types/user.go `PrivacySettings`).
_PRIVACY = {
    "groupadd": "all",
    "last": "all",
    "status": "all",
    "profile": "all",
    "readreceipts": "all",
    "online": "all",
    "calladd": "all",
}


def _privacy_get(world: World, device: Companion, query: Node) -> list[Node]:
    settings = [Node("category", {"name": name, "value": value}) for name, value in _PRIVACY.items()]
    return [Node("privacy", {}, settings)]


def _blocklist_get(world: World, device: Companion, query: Node) -> list[Node]:
    return [Node("list", {"dhash": "0"}, [])]


HANDLERS: dict[tuple[str, str], Handler] = {
    ("usync", "get"): _usync,
    ("encrypt", "get"): _encrypt_get,
    ("encrypt", "set"): _encrypt_set,
    ("md", "set"): _remove_companion,
    ("privacy", "get"): _privacy_get,
    ("blocklist", "get"): _blocklist_get,
    ("w:m", "set"): media_queries.answer,
    ("w:g2", "get"): group_queries.answer_get,
    ("w:g2", "set"): group_queries.answer_set,
    ("w:sync:app:state", "set"): collections.answer,
    ("w:profile:picture", "get"): profiles.answer_picture_get,
    ("w:profile:picture", "set"): profiles.answer_picture_set,
    ("w:mex", "get"): profiles.answer_mex,
    ("status", "set"): profiles.answer_about_set,
}
