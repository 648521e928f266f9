"""App Check, where an installation demands it: people sign in from its own app only. Programs with keys are not concerned."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import firebase_admin
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import app_check

from keepline.domain.errors import Unauthenticated, Unavailable
from keepline.usecases.access import REMEMBERED_S_MAX, Access, bad_app_check
from keepline_functions.firebase_tokens import FirebaseTokens

from .google_stand_in import GoogleStandIn
from .support import World, error_code

PROJECT = "demo-keepline"
TOKEN, APP = "header.payload.signature", "an.app.token"


class GoogleKeys:
    """Google's address of App Check's public keys, on loopback, and a private one to sign with."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        body = json.dumps({"keys": [public | {"kid": "k1", "use": "sig", "alg": "RS256"}]}).encode()
        self.server = GoogleStandIn(lambda _: (200, body))

    @property
    def url(self) -> str:
        return f"http://{self.server.host}/v1/jwks"

    def token(self, kid: str = "k1", key: rsa.RSAPrivateKey | None = None, **changes: object) -> str:
        now_s = int(time.time())
        claims = {
            "iss": "https://firebaseappcheck.googleapis.com/1234",
            "aud": [f"projects/{PROJECT}"],
            "sub": "1:1234:web:5678",
            "iat": now_s - 10,
            "exp": now_s + 3600,
        } | changes
        return jwt.encode(claims, key or self.key, "RS256", {"kid": kid})


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GoogleKeys]:
    keys = GoogleKeys()
    pem = keys.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "client_email": f"functions@{PROJECT}.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "token_uri": "http://127.0.0.1:9/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setattr(app_check._AppCheckService, "_JWKS_URL", keys.url)
    yield keys
    keys.server.stop()


@pytest.fixture
def tokens() -> Iterator[FirebaseTokens]:
    made = FirebaseTokens(PROJECT)
    yield made
    firebase_admin.delete_app(made._firebase_app())


def test_a_token_of_our_own_app_is_good(google: GoogleKeys, tokens: FirebaseTokens) -> None:
    tokens.check_app(google.token())


def test_any_other_token_is_not(google: GoogleKeys, tokens: FirebaseTokens) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for bad in (
        google.token(aud=["projects/another"]),
        google.token(iss="https://evil.example/"),
        google.token(exp=int(time.time()) - 60),
        google.token(key=stranger),
        google.token(kid="unknown"),
        jwt.encode({"aud": [f"projects/{PROJECT}"]}, "", "none"),
        "a.b.c",
    ):
        with pytest.raises(Unauthenticated) as caught:
            tokens.check_app(bad)
        assert caught.value.code == "bad_app_check"


def test_when_it_cannot_be_checked_nobody_gets_in(
    google: GoogleKeys, tokens: FirebaseTokens, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app_check._AppCheckService, "_JWKS_URL", "http://127.0.0.1:9/v1/jwks")
    token = google.token()
    with pytest.raises(Unavailable) as caught:
        tokens.check_app(token)
    assert caught.value.code == "auth_unavailable"
    assert token not in caplog.text


class Checked:
    """An installation that demands it, whose app shows APP."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked = 0
        world.tokens[TOKEN] = "anna"
        services = world.process.services
        object.__setattr__(services, "access", Access(world.store, world.clock, world._verify, self._check))

    def _check(self, app_token: str) -> None:
        self.asked += 1
        if app_token != APP:
            raise bad_app_check()

    def sessions(self, **headers: str) -> tuple[int, str | None]:
        answer = self.world.get("/api/sessions", headers)
        return answer.status_code, error_code(answer) if answer.status_code != 200 else None


@pytest.fixture
def checked(world: World) -> Checked:
    return Checked(world)


def test_a_person_gets_in_from_our_app_only(checked: Checked) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert checked.sessions(**bearer) == (401, "bad_app_check")
    assert checked.sessions(**bearer, **{"X-Firebase-AppCheck": "nonsense"}) == (401, "bad_app_check")
    assert checked.sessions(**bearer, **{"X-Firebase-AppCheck": "another.app.token"}) == (401, "bad_app_check")
    assert checked.sessions(**bearer, **{"X-Firebase-AppCheck": APP}) == (200, None)
    # What is remembered of that is of this app's token, not of the person alone.
    assert checked.sessions(**bearer, **{"X-Firebase-AppCheck": "another.app.token"}) == (401, "bad_app_check")


def test_an_app_token_alone_is_nobody(checked: Checked) -> None:
    assert checked.sessions(**{"X-Firebase-AppCheck": APP}) == (401, "unauthenticated")


def test_what_was_good_is_looked_at_again_after_five_seconds(checked: Checked) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Firebase-AppCheck": APP}
    for _ in range(5):
        checked.sessions(**headers)
    assert checked.asked == 1
    checked.world.clock.advance(REMEMBERED_S_MAX + 0.1)
    checked.sessions(**headers)
    assert checked.asked == 2


def test_programs_with_keys_need_none(checked: Checked) -> None:
    assert checked.sessions(**checked.world.anna) == (200, None)
    assert checked.asked == 0


def test_where_none_is_demanded_it_makes_no_difference(world: World) -> None:
    world.tokens[TOKEN] = "anna"
    for app_token in ("", "nonsense", "x" * 9_000, APP):
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Firebase-AppCheck": app_token}
        assert world.get("/api/sessions", headers).status_code == 200
    assert len(world.process.services.access._remembered) == 1
