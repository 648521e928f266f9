"""What a phone shows: its messages, and what reactions, edits, revokes and votes did to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from simulator.limits import INBOX_MESSAGES_MAX, ORPHANS_MAX, SEEN_IDS_MAX
from simulator.messages.polls import hash_option, open_vote
from simulator.messages.reading import ADDONS, Content, MediaRef

WAITING_TEXT = "Waiting for this message. This may take a while."
REVOKED_TEXT = "This message was deleted."


@dataclass(slots=True)
class Received:
    """A message on a phone's screen. `chat` is a number, a group's address or `status@broadcast`."""

    id: str
    from_number: str
    from_device: int
    chat: str
    kind: str
    text: str
    at: float
    tag: str
    # The phone shows "Waiting for this message": it could not decrypt what came.
    waiting: bool = False
    # Why not, for people who look for the reason, and how often it was asked for again.
    reason: str = ""
    retries: int = 0
    # What the kind has besides a text (README); numbers instead of addresses.
    fields: dict[str, Any] = field(default_factory=dict)
    edited: bool = False
    revoked: bool = False
    # By number: the emoji, the options chosen.
    reactions: dict[str, str] = field(default_factory=dict)
    votes: dict[str, list[str]] = field(default_factory=dict)
    # What it was shown from, for downloads, answers to it and history.
    message: bytes = b""
    media: MediaRef | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "from": self.from_number, "from_device": self.from_device, "chat": self.chat, "kind": self.kind,
            "text": self.text, "at": self.at, "tag": self.tag, "waiting": self.waiting, "reason": self.reason,
            "retries": self.retries, "fields": self.fields, "edited": self.edited, "revoked": self.revoked,
            "reactions": self.reactions, "votes": self.votes,
        }  # fmt: skip


# All addresses (as texts) that a number has, for votes that were sealed under either.
AddressesOf = Callable[[str], tuple[str, ...]]
# Whether a number may delete what others wrote in a chat.
MayDelete = Callable[[str, str], bool]


class Chats:
    """One phone's messages. Listings are bounded; the oldest go first."""

    def __init__(self, number: str, addresses_of: AddressesOf, may_delete: MayDelete) -> None:
        self._number = number
        self._addresses_of = addresses_of
        self._may_delete = may_delete
        # From others; from this number's linked devices; written on this phone.
        self.inbox: list[Received] = []
        self.sent_copies: list[Received] = []
        self.own: list[Received] = []
        self._seen: OrderedDict[tuple[str, str], Received] = OrderedDict()
        self._by_id: OrderedDict[str, Received] = OrderedDict()
        # Addons whose message has not come yet: by its id.
        self._orphans: OrderedDict[str, list[tuple[Received, Content]]] = OrderedDict()

    def seen(self, number: str, message_id: str) -> Received | None:
        """The message with an id of an author, if anything of it ever came."""
        return self._seen.get((number, message_id))

    def find(self, message_id: str) -> Received | None:
        return self._by_id.get(message_id)

    def all(self) -> Iterable[Received]:
        yield from self.inbox
        yield from self.sent_copies
        yield from self.own

    def add(self, message: Received, *, written_here: bool = False) -> None:
        """Puts a new message on the screen (perhaps one that still waits for its content)."""
        own = message.from_number == self._number
        listing = self.own if written_here else self.sent_copies if own else self.inbox
        listing.append(message)
        del listing[:-INBOX_MESSAGES_MAX]
        self._seen[(message.from_number, message.id)] = self._by_id[message.id] = message
        for index in (self._seen, self._by_id):
            if len(index) > SEEN_IDS_MAX:
                index.popitem(last=False)

    def show(self, message: Received, content: Content) -> None:
        """Fills a message with what was decrypted, and lets it act on the message it is about."""
        message.kind, message.text, message.tag = content.kind, content.text, content.tag
        message.fields, message.message, message.media = content.fields, content.message, content.media
        message.waiting, message.reason = False, ""
        if content.kind in ADDONS:
            self._act(message, content)
        for addon, about in self._orphans.pop(message.id, ()):
            self._act(addon, about)

    def _act(self, addon: Received, content: Content) -> None:
        if content.target is None:
            return
        target = self._by_id.get(content.target.id)
        # Of a placeholder the phone knows who sent it, so it can be deleted; everything else waits for its content.
        if target is None or (target.waiting and content.kind != "revoke"):
            self._orphans.setdefault(content.target.id, []).append((addon, content))
            if len(self._orphans) > ORPHANS_MAX:
                self._orphans.popitem(last=False)
            addon.fields["applied"] = False
            return
        addon.fields["applied"] = self._apply(target, addon, content)

    def _apply(self, target: Received, addon: Received, content: Content) -> bool:
        author = addon.from_number
        if content.kind == "reaction":
            emoji = content.fields["emoji"]
            if emoji:
                target.reactions[author] = emoji
            else:
                target.reactions.pop(author, None)
            return True
        if content.kind == "edit":
            if author != target.from_number or target.revoked:
                return False
            target.text, target.edited = content.text, True
            return True
        if content.kind == "revoke":
            if author != target.from_number and not self._may_delete(author, target.chat):
                return False
            target.text, target.revoked, target.media, target.message = REVOKED_TEXT, True, None, b""
            target.waiting = False
            target.fields = {}
            return True
        if content.kind == "vote":
            return self._count_vote(target, author, content, addon)
        return True

    def _count_vote(self, poll: Received, voter: str, content: Content, addon: Received) -> bool:
        if content.vote is None or poll.kind != "poll" or poll.revoked or not poll.tag:
            return False
        authors, voters = self._addresses_of(poll.from_number), self._addresses_of(voter)
        hashes = open_vote(bytes.fromhex(poll.tag), poll.id, authors, voters, *content.vote)
        if hashes is None:
            return False
        chosen = [option for option in poll.fields["options"] if hash_option(option) in hashes]
        poll.votes[voter] = addon.fields["options"] = chosen
        return True
