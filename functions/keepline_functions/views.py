"""The JSON that clients rely on. What is not named here is not shown: keys, hashes and tenants of documents stay inside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from keepline.domain.views import Proof, message_error
from keepline.usecases.messages import MessageView
from keepline.usecases.sessions import SessionView

_SHOWN_TIMES = (
    "accepted",
    "in_doubt",
    "sent",
    "delivered",
    "read",
    "played",
    "failed",
    "expired",
    "cancelled",
    "recorded",
)


def rfc3339(at: datetime) -> str:
    """A time in UTC with milliseconds and Z."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def session_json(view: SessionView) -> dict[str, Any]:
    """A session."""
    account, reason = view.account, view.status.reason
    return {
        "session_id": account.session_id,
        "user_id": account.tenant,
        "phone": account.phone,
        "lid": account.lid,
        "state": view.status.state.value,
        "reason": {"code": reason.code, "sentence": reason.sentence, "next_step": reason.next_step},
        "evidence": _proof_json(view.proof),
        "devices": [
            {"slot": device.slot, "state": device.state.value, "connector": device.connector, "region": device.region}
            for device in view.devices
        ],
        "queue": {
            "queued": view.queued,
            "oldest_s": round(view.oldest_queued_s, 3) if view.oldest_queued_s is not None else None,
        },
        "created_at": rfc3339(account.created_at),
    }


def message_json(view: MessageView) -> dict[str, Any]:
    """A message, in or out."""
    error = message_error(view.error_code)
    return {
        "message_id": view.message_id,
        "session_id": view.session_id,
        "chat": view.chat,
        "direction": view.direction,
        "kind": view.kind,
        "text": view.text,
        "state": view.state.value,
        "wa_message_id": view.wa_message_id,
        "times": {name: rfc3339(view.times[name]) for name in _SHOWN_TIMES if name in view.times},
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error else None,
    }


def _proof_json(proof: Proof | None) -> dict[str, Any] | None:
    if proof is None:
        return None
    return {"at": rfc3339(proof.at), "kind": proof.kind, "age_ms": proof.age_ms}
