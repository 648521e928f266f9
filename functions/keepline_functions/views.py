"""The JSON that clients rely on. What is not named here is not shown: keys, hashes and tenants of documents stay inside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from keepline.domain.addresses import lid_of, phone_of
from keepline.domain.content.vcards import phones_in
from keepline.domain.queue_cap import QUEUED_MAX
from keepline.domain.session import Reason
from keepline.domain.standby import StandbyView
from keepline.domain.views import Proof, media_error, message_error
from keepline.records.accounts import LinkLife
from keepline.records.heard_media import MediaState
from keepline.records.link_settings import SealedProxy
from keepline.records.media import Kept
from keepline.records.monitoring import SessionEvent
from keepline.usecases.diagnosing import Diagnosis
from keepline.usecases.fleet import ConnectorView
from keepline.usecases.limiting import Charged
from keepline.usecases.linking import device_reason
from keepline.usecases.message_views import Delivery, MessageView, Person
from keepline.usecases.sessions import DeviceView, SessionView
from keepline_functions.answers import (
    ActivityJson,
    ConnectorJson,
    DeviceJson,
    DiagnosisJson,
    EvidenceJson,
    LimitJson,
    ProxyJson,
    QueueJson,
    ReasonJson,
    SessionEventJson,
    SessionJson,
    SessionStandbyJson,
)
from keepline_functions.message_answers import (
    ContentJson,
    DeliveryOptionsJson,
    FileJson,
    MediaJson,
    MessageJson,
    PersonJson,
)

_SHOWN_TIMES = (
    "accepted",
    "replayed",
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


def session_json(view: SessionView) -> SessionJson:
    """A session."""
    account = view.account
    return {
        "session_id": account.session_id,
        "user_id": account.tenant,
        "phone": account.phone,
        "lid": account.lid,
        "state": view.status.state,
        "reason": reason_json(view.status.reason),
        "evidence": proof_json(view.proof),
        "devices": [_device_json(device) for device in view.devices],
        "standby": _standby_json(view.standby),
        "on_doubt": account.on_doubt,
        "pacing": account.settings.pacing,
        "presence": account.settings.presence,
        "proxy": _proxy_json(account.settings.proxy),
        "queue": queue_json(view),
        "created_at": rfc3339(account.created_at),
    }


def queue_json(view: SessionView) -> QueueJson:
    """What waits of a session."""
    return {
        "queued": view.queued,
        "oldest_s": round(view.oldest_queued_s, 3) if view.oldest_queued_s is not None else None,
        "held": {**reason_json(view.held.reason), "until": rfc3339(view.held.until)} if view.held else None,
    }


def diagnosis_json(found: Diagnosis) -> DiagnosisJson:
    """A session with all that is known of it."""
    proofs = {device.slot: device.proof for device in found.session.devices}
    session = session_json(found.session)
    for device in session["devices"]:
        device["evidence"] = proof_json(proofs[device["slot"]])
    return {
        "session": session,
        "connectors": [connector_json(one) for one in found.connectors],
        "events": [_event_json(event) for event in found.events],
        "limits": {
            "queue": {"limit": QUEUED_MAX, "used": found.session.queued},
            "user_sessions": {"limit": found.sessions_max, "used": found.sessions_used},
            **{one.limit.name: limit_json(one) for one in found.limits},
        },
        "recommendations": [reason_json(one) for one in found.advice],
    }


def connector_json(one: ConnectorView) -> ConnectorJson:
    """A connector as its newest heartbeat has it."""
    return {
        "connector": one.id,
        "region": one.region,
        "heartbeat_age_s": round(one.beat_age_s, 3),
        "silent": one.silent,
        "stopped": one.stopped,
        "draining": one.draining,
    }


def _event_json(event: SessionEvent) -> SessionEventJson:
    return {
        "at": rfc3339(event.at),
        "from": event.state_before,
        "to": event.state,
        "code": event.code,
        "sentence": event.sentence,
    }


def limit_json(one: Charged) -> LimitJson:
    """A limit, and what is left of it."""
    return {
        "count": one.limit.count,
        "period_s": one.limit.period_s,
        "burst": one.limit.burst,
        "remaining": one.verdict.remaining,
        "reset_s": round(one.verdict.reset_s, 3),
    }


def message_json(view: MessageView) -> MessageJson:
    """A message, in or out."""
    error = message_error(view.error_code, view.state)
    return {
        "message_id": view.message_id,
        "session_id": view.session_id,
        "chat": view.chat,
        "direction": view.direction,
        "from": _both(view.sender),
        "to": _both(view.recipient),
        "kind": view.kind,
        "text": view.text,
        **_content_json(view.content),
        **_media_json(view),
        "edited_at": rfc3339(view.edited_at) if view.edited_at else None,
        "revoked_at": rfc3339(view.revoked_at) if view.revoked_at else None,
        "state": view.state,
        "wa_message_id": view.wa_message_id,
        "times": {name: rfc3339(view.times[name]) for name in _SHOWN_TIMES if name in view.times},
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error else None,
        **_delivery_json(view.delivery),
    }


# What a message says besides its text, by the names that it is sent with.
_SHOWN_CONTENT = (
    "preview",
    "mentions",
    "quote",
    "forwarded",
    "media",
    "voice",
    "view_once",
    "location",
    "contacts",
    "poll",
    "vote",
    "reaction",
    "edit",
    "revoke",
    "unsupported",
)


def _content_json(content: Mapping[str, Any]) -> ContentJson:
    """Of a content what it has. References are shown with both addresses of their sender."""
    shown = {name: _shown(content[name]) for name in _SHOWN_CONTENT if name in content}
    if "contacts" in shown:
        shown["contacts"] = [{**card, "phones": list(phones_in(card["vcard"]))} for card in shown["contacts"]]
    if "mentions" in shown:
        shown["mentions"] = [_person(one) for one in shown["mentions"]]
    if "vote" in shown:
        shown["vote"].setdefault("options", None)
    return cast("ContentJson", shown)  # What a message says is kept as it is shown; the tests hold it to its shape.


def kept_json(kept: Kept, url: str, good_until: datetime) -> FileJson:
    """A file that is kept, with a link to it."""
    file = kept.file
    return {
        "media_id": file.media_id or "",
        "mime_type": file.mime_type,
        "size": file.size,
        "sha256": file.sha256,
        "file_name": file.name,
        "source": kept.source,
        "expires_at": rfc3339(kept.expires_at),
        "url": url,
        "url_expires_at": rfc3339(good_until),
    }


def _media_json(view: MessageView) -> ContentJson:
    """What a message says of its file, with what became of one that WhatsApp brought."""
    if "media" not in view.content:
        return {}
    said, fate = _shown(view.content["media"]), view.media
    if fate is None:
        return {"media": said}
    error = media_error(fate.error_code)
    came = {
        **said,
        "media_id": said["media_id"] if fate.state is MediaState.STORED else None,
        "state": fate.state.value,
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error else None,
    }
    return {"media": cast("MediaJson", came)}


def _both(person: Person | None) -> PersonJson | None:
    return {"phone": person.phone, "lid": person.lid} if person is not None else None


def _person(mentioned: Any) -> PersonJson:
    """Somebody mentioned: by an address in what was sent, by both names in what was heard."""
    if isinstance(mentioned, str):
        return {"phone": phone_of(mentioned), "lid": lid_of(mentioned)}
    return {"phone": mentioned["phone"], "lid": mentioned["lid"]}


def _shown(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _shown(inner) for name, inner in value.items() if name not in _HIDDEN_CONTENT}


# How a chat addresses people is between us and WhatsApp.
_HIDDEN_CONTENT = frozenset({"addressing", "by_admin"})


def _delivery_json(delivery: Delivery | None) -> DeliveryOptionsJson:
    if delivery is None:
        return {}
    return {
        "send_at": rfc3339(delivery.send_at) if delivery.send_at else None,
        "expires_at": rfc3339(delivery.expires_at) if delivery.expires_at else None,
        "priority": delivery.priority.word,
        "on_doubt": delivery.on_doubt,
        "attempts": delivery.attempts,
        "repairs": delivery.repairs,
    }


def _device_json(device: DeviceView) -> DeviceJson:
    return {
        "slot": device.slot,
        "state": device.status.state,
        "reason": reason_json(device_reason(device.slot, device.status)),
        "connector": device.connector,
        "region": device.region,
        "reconnect_attempts": device.life.reconnect_attempts,
        "breaker": device.life.breaker.value,
        "last_activity": _activity_json(device.life),
    }


def _standby_json(standby: StandbyView) -> SessionStandbyJson:
    return {
        "state": standby.state,
        "setting": standby.setting,
        "offered_at": rfc3339(standby.offered_at) if standby.offered_at else None,
        "sentence": standby.sentence,
        "next_step": standby.next_step,
    }


def reason_json(reason: Reason) -> ReasonJson:
    """Why, and what to do."""
    return {"code": reason.code, "sentence": reason.sentence, "next_step": reason.next_step}


def _activity_json(life: LinkLife) -> ActivityJson | None:
    if life.last_activity_at is None:
        return None
    return {"at": rfc3339(life.last_activity_at), "kind": life.last_activity}


def _proxy_json(proxy: SealedProxy | None) -> ProxyJson | None:
    if proxy is None:
        return None
    return {"scheme": proxy.scheme, "host": proxy.host, "port": proxy.port, "has_credentials": proxy.has_credentials}


def proof_json(proof: Proof | None) -> EvidenceJson | None:
    """The newest sign of life."""
    if proof is None:
        return None
    return {"at": rfc3339(proof.at), "kind": proof.kind, "age_ms": proof.age_ms, "quality": proof.quality}
