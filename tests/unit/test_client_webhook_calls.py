"""`verify_webhook`: what Keepline has signed is taken, anything else is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from keepline.domain import webhook_signing
from keepline.domain.webhook_signing import Secret
from keepline_client import BadSignature, verify_webhook, webhook_calls

SECRET = webhook_signing.new_secret(b"0123456789abcdef" * 2)
OTHER = webhook_signing.new_secret(b"fedcba9876543210" * 2)
BODY = json.dumps({"id": "evt_1", "type": "message", "timestamp": "now", "data": {"text": "Grüße"}}).encode()


def signed(*secrets: Secret, at: datetime | None = None, body: bytes = BODY) -> dict[str, str]:
    return webhook_signing.headers(secrets or (SECRET,), "evt_1", at or datetime.now(UTC), body)


def test_what_keepline_signs_is_taken() -> None:
    event = verify_webhook(signed(), BODY, SECRET.text)
    assert (event["id"], event["type"], event["data"]) == ("evt_1", "message", {"text": "Grüße"})


def test_the_vector_of_standard_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_calls.time, "time", lambda: 1614265330.0)
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert verify_webhook(headers, b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == {
        "test": 2432232314
    }


def test_either_secret_is_good_while_one_is_replaced() -> None:
    headers = signed(OTHER, Secret(SECRET.text, datetime.now(UTC) + timedelta(hours=1)))
    for secret in (SECRET, OTHER):
        assert verify_webhook(headers, BODY, secret.text)["id"] == "evt_1"


def test_headers_may_be_written_in_any_case() -> None:
    headers = {name.title(): value for name, value in signed().items()}
    assert verify_webhook(headers, BODY, SECRET.text)["id"] == "evt_1"


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "²"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "ä"},
    ],
    ids=str,
)
def test_what_was_changed_on_the_way_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(BadSignature, match="bad_signature"):
        verify_webhook(signed() | changed, BODY, SECRET.text)


def test_a_time_that_was_changed_on_the_way_is_refused() -> None:
    at = datetime.now(UTC)
    with pytest.raises(BadSignature, match="bad_signature"):
        verify_webhook(signed(at=at) | {"webhook-timestamp": str(int(at.timestamp()) + 7)}, BODY, SECRET.text)


def test_what_was_signed_otherwise_is_refused() -> None:
    for headers, body in (({}, BODY), (signed(), BODY + b" "), (signed(OTHER), BODY)):
        with pytest.raises(BadSignature, match="bad_signature"):
            verify_webhook(headers, body, SECRET.text)


@pytest.mark.parametrize("age_s", [webhook_calls.AGE_S_MAX + 5, -webhook_calls.AGE_S_MAX - 5])
def test_what_was_recorded_is_refused(age_s: int) -> None:
    with pytest.raises(BadSignature, match="bad_timestamp"):
        verify_webhook(signed(at=datetime.now(UTC) - timedelta(seconds=age_s)), BODY, SECRET.text)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_no base64!", "whsec_abc"])
def test_a_secret_that_cannot_be_one_is_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        verify_webhook(signed(), BODY, secret)
    assert secret in ("", "whsec_") or secret not in str(refused.value)
