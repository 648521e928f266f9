"""The part of the control API's client that uses phones: messages of every kind, files, groups, presence, profile, settings."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote


class ContentClient:
    """Methods of `SimulatorClient`. `number` is always the phone that acts."""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        raise NotImplementedError

    # Linking

    def enter_link_code(self, number: str, code: str) -> dict[str, Any]:
        """Types a linking code into a phone; gives the new device's jid, lid and device number."""
        return self.call("POST", f"/phones/{quote(number)}/link-code", {"code": code})

    def expire_device(self, number: str, device: int) -> None:
        """Removes a linked device as WhatsApp does after a month of absence."""
        self.call("POST", f"/phones/{quote(number)}/devices/{device}/expire", {})

    def advance_clock(self, seconds: float) -> int:
        """Puts the service's clock forward; gives how many devices were removed for their absence."""
        return int(self.call("POST", "/clock/advance", {"seconds": seconds})["removed"])

    # Messages

    def post(self, number: str, kind: str, **fields: Any) -> str:
        """Sends a message of any kind with the fields that the README lists; gives its id."""
        return str(self.call("POST", f"/phones/{quote(number)}/messages", {"kind": kind, **fields})["id"])

    def send_file(self, number: str, to: str, kind: str, data: bytes, **fields: Any) -> str:
        """An image, video, audio, voice note, document or sticker; `caption`, `mimetype`, `filename`, `seconds`, …"""
        return self.post(number, kind, to=to, data=base64.b64encode(data).decode(), **fields)

    def send_location(self, number: str, to: str, latitude: float, longitude: float, name: str = "") -> str:
        return self.post(number, "location", to=to, latitude=latitude, longitude=longitude, name=name)

    def send_contact(self, number: str, to: str, name: str, contact: str) -> str:
        return self.post(number, "contact", to=to, name=name, contact=contact)

    def send_poll(self, number: str, to: str, question: str, options: list[str], choices: int = 1) -> str:
        return self.post(number, "poll", to=to, question=question, options=options, choices=choices)

    def vote(self, number: str, message_id: str, options: list[str]) -> str:
        return self.post(number, "vote", target=message_id, options=options)

    def react(self, number: str, message_id: str, emoji: str) -> str:
        """An empty emoji takes a reaction back."""
        return self.post(number, "reaction", target=message_id, emoji=emoji)

    def edit(self, number: str, message_id: str, text: str) -> str:
        return self.post(number, "edit", target=message_id, text=text)

    def revoke(self, number: str, message_id: str) -> str:
        """Deletes a message for everyone."""
        return self.post(number, "revoke", target=message_id)

    def own_messages(self, number: str) -> list[dict[str, Any]]:
        """What was written on a phone itself, with the reactions and votes that came."""
        return list(self.call("GET", f"/phones/{quote(number)}/inbox")["own"])

    def message(self, number: str, message_id: str) -> dict[str, Any] | None:
        """A message as a phone shows it, wherever it came from; None if it shows none."""
        inbox = self.call("GET", f"/phones/{quote(number)}/inbox")
        everything = [*inbox["messages"], *inbox["sent"], *inbox["own"]]
        return next((message for message in everything if message["id"] == message_id), None)

    def download(self, number: str, message_id: str) -> bytes:
        """The decrypted file of a message."""
        path = f"/phones/{quote(number)}/messages/{quote(message_id)}/media"
        return base64.b64decode(self.call("GET", path)["data"])

    def remove_file(self, number: str, message_id: str) -> None:
        """Removes a message's file from the media server, as WhatsApp does after some weeks."""
        self.call("DELETE", f"/phones/{quote(number)}/messages/{quote(message_id)}/media")

    def ring(self, number: str, to: str, *, video: bool = False) -> str:
        """A phone calls another number, or a group that it is in. Returns the call's id."""
        return str(self.call("POST", f"/phones/{quote(number)}/calls", {"to": to, "video": video})["id"])

    # Presence

    def type(self, number: str, to: str, state: str = "composing") -> None:
        """`composing`, `recording` or `paused`."""
        self.call("POST", f"/phones/{quote(number)}/typing", {"to": to, "state": state})

    def typing_seen(self, number: str) -> list[dict[str, Any]]:
        """Who typed in a phone's chats: `{from, chat, state, at}`, newest last."""
        return list(self.call("GET", f"/phones/{quote(number)}/typing")["typing"])

    def set_online(self, number: str, online: bool) -> None:
        self.call("POST", f"/phones/{quote(number)}/presence", {"online": online})

    def presence(self, number: str) -> dict[str, Any]:
        """Whether any device of a number is online: `{online, devices, last_seen}`."""
        return self.call("GET", f"/phones/{quote(number)}/presence")

    # Profile and settings

    def profile(self, number: str) -> dict[str, Any]:
        return self.call("GET", f"/phones/{quote(number)}/profile")

    def set_profile(
        self,
        number: str,
        name: str | None = None,
        about: str | None = None,
        picture: bytes | None = None,
        invite_only: bool | None = None,
    ) -> dict[str, Any]:
        """`invite_only`: nobody can put this number into a group, only send it an invitation."""
        body: dict[str, Any] = {key: value for key, value in (("name", name), ("about", about)) if value is not None}
        if invite_only is not None:
            body["invite_only"] = invite_only
        if picture is not None:
            body["picture"] = base64.b64encode(picture).decode()
        return self.call("POST", f"/phones/{quote(number)}/profile", body)

    def add_contact(self, number: str, contact: str, name: str) -> None:
        self.call("POST", f"/phones/{quote(number)}/contacts", {"number": contact, "name": name})

    def set_chat(self, number: str, chat: str, **flags: bool) -> None:
        """`muted`, `pinned`, `archived`, `read`: what all devices of a number share about a chat."""
        self.call("POST", f"/phones/{quote(number)}/chats", {"chat": chat, **flags})

    def settings(self, number: str) -> dict[str, Any]:
        """`{name, contacts, chats}` as the phone knows them, with what its linked devices set."""
        return self.call("GET", f"/phones/{quote(number)}/settings")

    def forget(self, number: str, what: str, other: str = "", group: str = "") -> None:
        """Makes a phone lose keys: `sessions` or `sender_keys` of another number, or who has its own key of a group
        (`handed_out`)."""
        self.call("POST", f"/phones/{quote(number)}/forget", {"what": what, "number": other, "group": group})

    # Groups

    def groups(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/groups")["groups"])

    def create_group(self, number: str, subject: str, members: list[str], addressing: str = "lid") -> dict[str, Any]:
        body = {"by": number, "subject": subject, "members": members, "addressing": addressing}
        return self.call("POST", "/groups", body)

    def group(self, group: str) -> dict[str, Any]:
        return self.call("GET", f"/groups/{quote(group)}")

    def change_group(self, number: str, group: str, **changes: Any) -> dict[str, Any]:
        """`subject`, `description`, `announcement` (only admins write), `locked` (only admins change settings)."""
        return self.call("POST", f"/groups/{quote(group)}", {"by": number, **changes})

    def change_members(self, number: str, group: str, action: str, members: list[str]) -> list[dict[str, Any]]:
        """`add`, `remove`, `promote` or `demote`; each member with an error code or None."""
        body = {"by": number, "action": action, "members": members}
        return list(self.call("POST", f"/groups/{quote(group)}/members", body)["members"])

    def leave_group(self, number: str, group: str) -> None:
        self.call("POST", f"/groups/{quote(group)}/leave", {"number": number})

    def new_group_link(self, number: str, group: str) -> str:
        """Revokes a group's invite link and makes a new one."""
        return str(self.call("POST", f"/groups/{quote(group)}/link", {"by": number})["link"])

    def join_group(self, number: str, link: str) -> dict[str, Any]:
        return self.call("POST", "/groups/join", {"number": number, "link": link})
