"""Sessions: WhatsApp numbers, how they are linked and how they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from keepline_client._async.pausing import pause
from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, given, path
from keepline_client._waiting import Patience, is_connected
from keepline_client.errors import Conflict
from keepline_client.types import (
    Diagnosis,
    PairingCode,
    QrCode,
    Session,
    SessionHealth,
    SessionSettings,
    ShownQrCode,
    Slot,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    SessionList = list[Session]

# A person has to find the phone.
_LINK_TIMEOUT_S = 300.0


class AsyncSessions:
    """`keepline.sessions`"""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, session_id: str | None = None, **settings: Unpack[SessionSettings]) -> Session:
        """A new session, which is to be linked; without an id one is made. Conflict (`session_exists`) when it is there."""
        return await self._session(Call("POST", "/api/sessions/create", given(session_id=session_id, **settings)))

    async def list(self) -> SessionList:
        """All sessions, the oldest first."""
        found: SessionList = (await self._transport.json(Call("GET", "/api/sessions")))["sessions"]
        return found

    async def get(self, session_id: str) -> Session:
        """How a session is."""
        return await self._session(Call("GET", path("api", "sessions", session_id, "status")))

    async def update(self, session_id: str, **settings: Unpack[SessionSettings]) -> Session:
        """Change a session while it runs. What is not named stays, what is None goes back to its default."""
        return await self._session(Call("PATCH", path("api", "sessions", session_id), dict(settings)))

    async def delete(self, session_id: str) -> None:
        """Unlink its devices, cancel what waits, remove its chats."""
        await self._transport.ask(Call("DELETE", path("api", "sessions", session_id)))

    # Linking.

    async def qr(self, session_id: str, *, slot: Slot = "a") -> QrCode:
        """The code to scan now; slot b is the standby's. Conflict while there is none (`qr_not_ready`) or will be none."""
        code: QrCode = await self._transport.json(_qr(session_id, "json", slot))
        return code

    async def qr_png(self, session_id: str, *, slot: Slot = "a") -> bytes:
        """The code to scan now, as an image."""
        return (await self._transport.ask(_qr(session_id, "png", slot))).content

    async def qr_art(self, session_id: str, *, slot: Slot = "a") -> str:
        """The code to scan now, for a terminal: light text on a dark ground."""
        return (await self._transport.ask(_qr(session_id, "ascii", slot))).text

    async def qr_codes(
        self, session_id: str, *, slot: Slot = "a", timeout_s: float = _LINK_TIMEOUT_S
    ) -> AsyncIterator[ShownQrCode]:
        """Each code to scan, as WhatsApp replaces it every 20 s or so; it ends when a phone has linked the device.

        Raises Conflict (`qr_not_available`) when none will come, and WaitedInVain after `timeout_s`.
        """
        shown = None
        patience = Patience(f"a phone to link {session_id}", timeout_s)
        while True:
            try:
                code = await self.qr(session_id, slot=slot)
                art = await self.qr_art(session_id, slot=slot) if code["qr"] != shown else ""
            except Conflict as error:
                if error.code == "already_linked":
                    return
                if error.code != "qr_not_ready":
                    raise
            else:
                if art:
                    shown = code["qr"]
                    yield {**code, "art": art}
            await pause(patience.next_pause_s())

    async def pairing_code(self, session_id: str, phone: str, *, slot: Slot = "a") -> PairingCode:
        """A code to type into the phone with this number. Conflict (`pairing_code_not_ready`): ask again in a moment."""
        call = Call(
            "POST",
            path("api", "sessions", session_id, "pairing-code"),
            {"phone": phone, "slot": slot},
            is_harmless=True,
        )
        code: PairingCode = await self._transport.json(call)
        return code

    async def wait_until_connected(self, session_id: str, *, timeout_s: float = _LINK_TIMEOUT_S) -> Session:
        """The session as soon as it is linked and up. Raises CannotConnect, and WaitedInVain after `timeout_s`."""
        patience = Patience(f"{session_id} to be connected", timeout_s)
        while not is_connected(session := await self.get(session_id)):
            await pause(patience.next_pause_s())
        return session

    async def add_standby(self, session_id: str) -> Session:
        """Make the second device, which is to be linked with the same phone: its codes are those of slot b."""
        return await self._session(Call("POST", path("api", "sessions", session_id, "standby"), is_harmless=True))

    async def remove_standby(self, session_id: str) -> None:
        """Unlink the second device, or decline its offer."""
        await self._transport.ask(Call("DELETE", path("api", "sessions", session_id, "standby")))

    # Looking after it.

    async def health(self, session_id: str) -> SessionHealth:
        """For an uptime check: raises Unavailable (`session_unhealthy`) when it cannot send. Asked once, without tries."""
        call = Call("GET", path("health", session_id), is_patient=False)
        health: SessionHealth = await self._transport.json(call)
        return health

    async def diagnostics(self, session_id: str) -> Diagnosis:
        """All that is known of a session, and what to do."""
        found: Diagnosis = await self._transport.json(Call("GET", path("diagnostics", session_id)))
        return found

    async def reconnect(self, session_id: str) -> Session:
        """Have its devices try to connect now, and a connection that works badly be made anew."""
        return await self._session(Call("POST", path("reconnect", session_id)))

    async def _session(self, call: Call) -> Session:
        session: Session = await self._transport.json(call)
        return session


def _qr(session_id: str, form: str, slot: Slot) -> Call:
    query: dict[str, Any] = {"format": form, "slot": slot}
    return Call("GET", path("api", "qr", "me", session_id), query=query)
