"""What a cell makes of WhatsApp's answers about groups and contacts, and of answers that fail or do not come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

GROUP, BEA, CAROL = "1@g.us", "14155550123@s.whatsapp.net", "14155550199@s.whatsapp.net"
RENAME = {"group": GROUP, "subject": "x"}


def outcomes(*cases: tuple[str, dict[str, Any], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    script = str(Path(__file__).with_name("change_groups.py"))
    done = subprocess.run(
        [sys.executable, script], input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def codes(result: list[dict[str, Any]]) -> list[tuple[str | None, str | None, str, str | None]]:
    return [(one["phone"], one["lid"], one["action"], one["error"]) for one in result]


def test_of_each_member_it_is_said_what_was_done_also_when_a_later_question_fails() -> None:
    changes = {"add": [BEA, CAROL, "7@lid"], "promote": [BEA], "demote": [BEA], "remove": [CAROL]}
    added = {"people": [{"jid": "5544@lid", "phone": BEA}, {"jid": "8@lid", "phone": CAROL, "error": 408}]}
    [done] = outcomes(
        (
            "change_members",
            {"group": GROUP, "changes": changes},
            [added, {"people": [{"jid": "5544@lid"}]}, {"error": "eh"}],
        )
    )
    assert done["error_code"] is None
    assert codes(done["result"]["changed"]) == [
        ("14155550123", "5544", "add", None),
        ("14155550123", "5544", "promote", None),
    ]
    assert codes(done["result"]["refused"]) == [
        ("14155550199", "8", "add", "left_lately"),
        (None, "7", "add", "not_named"),
        ("14155550123", "5544", "demote", "outcome_unknown"),
        ("14155550199", None, "remove", "not_tried"),
    ]


def test_a_change_without_an_answer_is_unknown_and_one_that_was_refused_or_never_left_is_not() -> None:
    words = {
        "info query returned status 403: forbidden": "wa_403",
        "that group does not exist": "wa_404",
        "you're not participating in that group": "wa_403",
        "info query returned status 429: rate-overlimit": "wa_429",
        "websocket not connected": "not_connected",
        "the store doesn't contain a device JID": "not_connected",
        "failed to get privacy token for participant 1@lid: database is locked": "command_failed",
        "info query timed out": "outcome_unknown",
        "websocket disconnected before info query returned response": "outcome_unknown",
        "missing <group> element in response to create group query": "outcome_unknown",
        "words that nobody has seen": "outcome_unknown",
    }
    found = outcomes(*(("rename_group", RENAME, [{"error": error}]) for error in words))
    assert [one["error_code"] for one in found] == list(words.values())
    # The first of several questions: nothing was done before it.
    first = ("change_members", {"group": GROUP, "changes": {"add": [BEA]}}, [{"error": "info query timed out"}])
    question = ("list_groups", {}, [{"error": "info query timed out"}])
    assert [one["error_code"] for one in outcomes(first, question)] == ["outcome_unknown", "command_failed"]


def test_a_number_that_whatsapp_writes_otherwise_is_told_as_whatsapp_has_it() -> None:
    # Brazil added a digit to numbers: WhatsApp may know somebody by the old form, or the other way round.
    asked = "5511987654321@s.whatsapp.net"
    [found] = outcomes(
        ("check_contacts", {"people": [asked]}, [{"found": {"+5511987654321": "551187654321@s.whatsapp.net"}}])
    )
    [contact] = found["result"]["contacts"]
    assert (contact["asked"], contact["phone"], contact["on_whatsapp"]) == (asked, "551187654321", True)
