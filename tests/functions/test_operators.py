"""Who is an operator, through firebase-admin itself, against a stand-in of Firebase's Auth emulator on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from keepline_functions import operators

from .google_stand_in import GoogleStandIn

PROJECT = "demo-keepline"


class Users:
    """Firebase Authentication as far as it is asked: lookups, claims, and the time before which tokens are not good."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {
            "u1": {"localId": "u1", "email": "anna@example.com"},
            "u2": {"localId": "u2", "email": "bob@example.com", "customAttributes": '{"team": 7, "operator": true}'},
            "u3": {"localId": "u3", "customAttributes": '{"operator": "yes"}'},
        }
        self.server = GoogleStandIn(self._answer)

    def claims(self, user: str) -> Any:
        return json.loads(self.users[user].get("customAttributes", "{}"))

    def _answer(self, body: bytes) -> tuple[int, bytes]:
        if not body:  # the list of users, which is read with GET
            return 200, json.dumps({"users": list(self.users.values())}).encode()
        asked = json.loads(body)
        if isinstance(asked["localId"] if "localId" in asked else asked["email"], list):
            ids, mails = asked.get("localId", []), asked.get("email", [])
            found = [user for user in self.users.values() if user["localId"] in ids or user.get("email") in mails]
            return 200, json.dumps({"users": found}).encode()
        self.users[asked["localId"]] |= asked
        return 200, json.dumps({"localId": asked["localId"]}).encode()


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Iterator[Users]:
    stand_in = Users()
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", stand_in.server.host)
    yield stand_in
    stand_in.server.stop()


def run(*words: str) -> int:
    return operators.main(["--project", PROJECT, *words])


@pytest.mark.parametrize("who", ["anna@example.com", "u1"])
def test_somebody_becomes_an_operator_by_mail_or_id(users: Users, who: str) -> None:
    assert run("add", who) == 0
    assert users.claims("u1") == {"operator": True}


def test_what_else_is_claimed_of_a_user_stays(users: Users) -> None:
    assert run("add", "u2") == 0
    assert users.claims("u2") == {"team": 7, "operator": True}
    assert run("remove", "bob@example.com") == 0
    assert users.claims("u2") == {"team": 7}


def test_who_was_an_operator_has_to_sign_in_again(users: Users) -> None:
    assert run("remove", "u2") == 0
    assert int(users.users["u2"]["validSince"]) > 0


def test_the_list_has_operators_alone(users: Users, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert capsys.readouterr().out == "u2 bob@example.com\n"
    assert run("remove", "u2") == 0
    capsys.readouterr()
    assert run("list") == 0
    assert capsys.readouterr().out == "Nobody is an operator.\n"


def test_who_is_not_there_is_said(users: Users, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", "nobody@example.com") == 1
    assert "nobody@example.com" in capsys.readouterr().err
