"""A request to every route that concerns one session. The tests that use it fail for a route that is not here."""

from __future__ import annotations

from typing import Any

from .support import CHAT

GROUP = "/api/groups/120363000000000000@g.us"


def requests(session: str, message_id: str) -> dict[tuple[str, str], Any]:
    """A request to every route that concerns one session, by the route."""
    send = {"session_id": session, "to": "+14155550123", "text": "hello"}
    return {
        ("POST", "/api/sessions/create"): ("/api/sessions/create", {"session_id": session}),
        ("GET", "/api/sessions/<session_id>/status"): (f"/api/sessions/{session}/status", None),
        ("PATCH", "/api/sessions/<session_id>"): (f"/api/sessions/{session}", {"on_doubt": "hold"}),
        ("POST", "/api/sessions/<session_id>/standby"): (f"/api/sessions/{session}/standby", None),
        ("DELETE", "/api/sessions/<session_id>/standby"): (f"/api/sessions/{session}/standby", None),
        ("POST", "/api/sessions/<session_id>/pairing-code"): (
            f"/api/sessions/{session}/pairing-code",
            {"phone": "14155550100"},
        ),
        ("GET", "/api/qr/<user_id>/<session_id>"): (f"/api/qr/me/{session}", None),
        ("POST", "/api/messages/send"): ("/api/messages/send", send),
        ("GET", "/api/messages"): (f"/api/messages?session_id={session}", None),
        ("GET", "/api/messages/<message_id>"): (f"/api/messages/{message_id}", None),
        ("POST", "/api/messages/<message_id>/cancel"): (f"/api/messages/{message_id}/cancel", None),
        ("POST", "/api/messages/<message_id>/replay"): (f"/api/messages/{message_id}/replay", None),
        ("GET", "/api/dead-letters"): (f"/api/dead-letters?session_id={session}", None),
        ("POST", "/api/chats/<chat>/read"): (f"/api/chats/{CHAT}/read", {"session_id": session}),
        ("POST", "/api/chats/<chat>/typing"): (f"/api/chats/{CHAT}/typing", {"session_id": session}),
        ("GET", "/api/events"): (f"/api/events?session_id={session}", None),
        ("GET", "/api/groups"): (f"/api/groups?session_id={session}", None),
        ("POST", "/api/groups"): (
            "/api/groups",
            {"session_id": session, "subject": "Walks", "members": ["+14155550123"]},
        ),
        ("GET", "/api/groups/<group>"): (f"{GROUP}?session_id={session}", None),
        ("PATCH", "/api/groups/<group>"): (GROUP, {"session_id": session, "subject": "Walks"}),
        ("POST", "/api/groups/<group>/members"): (f"{GROUP}/members", {"session_id": session, "add": ["14155550123"]}),
        ("GET", "/api/groups/<group>/invite"): (f"{GROUP}/invite?session_id={session}", None),
        ("POST", "/api/groups/<group>/invite/reset"): (f"{GROUP}/invite/reset", {"session_id": session}),
        ("POST", "/api/groups/<group>/leave"): (f"{GROUP}/leave", {"session_id": session}),
        ("POST", "/api/contacts/check"): ("/api/contacts/check", {"session_id": session, "numbers": ["14155550123"]}),
        ("GET", "/api/contacts/<contact>"): (f"/api/contacts/14155550123?session_id={session}", None),
        ("GET", "/api/monitoring"): (f"/api/monitoring?session_id={session}", None),
        ("GET", "/health/<session_id>"): (f"/health/{session}", None),
        ("GET", "/diagnostics/<session_id>"): (f"/diagnostics/{session}", None),
        ("POST", "/reconnect/<session_id>"): (f"/reconnect/{session}", None),
        ("DELETE", "/api/sessions/<session_id>"): (f"/api/sessions/{session}", None),
    }
