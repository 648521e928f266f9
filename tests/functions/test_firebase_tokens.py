"""Sign-in tokens through firebase-admin itself, against a stand-in of Firebase's Auth emulator on loopback."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import firebase_admin
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keepline.domain.errors import Unauthenticated, Unavailable
from keepline.usecases.access import SignedIn
from keepline_functions import firebase_tokens
from keepline_functions.firebase_tokens import FirebaseTokens

from .google_stand_in import GoogleStandIn

PROJECT = "demo-keepline"


class AuthStandIn:
    """Answers `accounts:lookup`, which is all that a check for revocation asks."""

    def __init__(self) -> None:
        self.status = 200
        self.users: dict[str, dict[str, Any]] = {"anna": {"localId": "anna", "validSince": "0"}}
        self.server = GoogleStandIn(self._answer)

    def _answer(self, body: bytes) -> tuple[int, bytes]:
        users = [self.users[name] for name in json.loads(body)["localId"] if name in self.users]
        answer = {"users": users} if self.status == 200 else {"error": {"message": "NO"}}
        return self.status, json.dumps(answer).encode()


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> Iterator[AuthStandIn]:
    stand_in = AuthStandIn()
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", stand_in.server.host)
    yield stand_in
    stand_in.server.stop()


@pytest.fixture
def verify() -> Iterator[Callable[[str], SignedIn]]:
    tokens = FirebaseTokens(PROJECT)
    yield tokens
    firebase_admin.delete_app(tokens._firebase_app())


def token(**changes: object) -> str:
    now_s = int(time.time())
    claims = {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "sub": "anna",
        "auth_time": now_s - 10,
        "iat": now_s - 10,
        "exp": now_s + 3600,
    } | changes
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def test_a_good_token_names_its_user(auth: AuthStandIn, verify: Callable[[str], SignedIn]) -> None:
    assert verify(token()) == SignedIn("anna", operator=False)


@pytest.mark.parametrize(("claim", "operator"), [(True, True), (False, False), ("true", False), (1, False)])
def test_an_operator_is_who_has_the_claim(
    auth: AuthStandIn, verify: Callable[[str], SignedIn], claim: object, operator: bool
) -> None:
    assert verify(token(operator=claim)) == SignedIn("anna", operator)


@pytest.mark.parametrize(
    "bad",
    [
        "a.b.c",
        "..",
        token(aud="another-project"),
        token(iss="https://evil.example"),
        token(sub=""),
        token(sub="nobody"),
    ],
)
def test_a_bad_token_is_refused(auth: AuthStandIn, verify: Callable[[str], SignedIn], bad: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        verify(bad)
    assert caught.value.code == "bad_token"
    assert bad not in str(caught.value)


@pytest.mark.parametrize("user", [{"validSince": "99999999999"}, {"disabled": True}])
def test_a_revoked_token_and_a_disabled_user_are_refused(
    auth: AuthStandIn, verify: Callable[[str], SignedIn], user: dict[str, Any]
) -> None:
    auth.users["anna"] |= user
    with pytest.raises(Unauthenticated):
        verify(token())


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as the cloud gives them, so that firebase-admin gets as far as the token."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "client_email": f"functions@{PROJECT}.iam.gserviceaccount.com",
        "private_key": pem,
        "token_uri": "http://127.0.0.1:9/token",
    }
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.delenv("FIREBASE_AUTH_EMULATOR_HOST", raising=False)


@pytest.mark.usefixtures("service_account")
@pytest.mark.parametrize("bad", [token(), "a.b.c", ".."])
def test_without_the_emulator_an_unsigned_token_is_refused(verify: Callable[[str], SignedIn], bad: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(bad)


def test_when_it_cannot_be_checked_nobody_gets_in_and_the_token_is_not_logged(
    auth: AuthStandIn, verify: Callable[[str], SignedIn], caplog: pytest.LogCaptureFixture
) -> None:
    auth.status = 403
    with pytest.raises(Unavailable) as caught:
        verify(token())
    assert caught.value.code == "auth_unavailable"
    assert token() not in caplog.text
    assert "could not be checked" in caplog.text
    assert firebase_tokens.log.name in {record.name for record in caplog.records}
