"""Changes of groups, and calls: as a cell takes them from the library, and recorded once whichever device hears them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GROUP = "120363000000000000@g.us"
BEA, CAROL = {"phone": "14155550123", "lid": "5544"}, {"phone": None, "lid": "7788"}
US = {"phone": "14155550100", "lid": "99887766"}
HIDDEN_CAROL = {"User": "7788", "Server": "lid"}
HIDDEN_BEA = {"User": "5544", "Server": "lid"}
HIDDEN_US = {"User": "99887766", "Server": "lid"}


@pytest.fixture(scope="module")
def heard() -> Any:
    """What a cell makes of each of the library's events. In a process of its own: neonize must not be in one that forks later."""
    scenes = [
        {"event": "GroupInfoEv", "Join": [HIDDEN_CAROL]},
        {"event": "GroupInfoEv", "Leave": [HIDDEN_US]},
        {"event": "GroupInfoEv", "Promote": [HIDDEN_BEA]},
        {
            "event": "GroupInfoEv",
            "Name": {"Name": "Walks", "NameSetAt": 1, "NameSetBy": HIDDEN_BEA},
            "Locked": {"isLocked": False},
        },
        {"event": "GroupInfoEv"},
        {"event": "JoinedGroupEv"},
        {"event": "CallOfferEv", "Tag": "video"},
        {"event": "CallOfferNoticeEv"},
    ]
    told = subprocess.run(
        [sys.executable, "-m", "tests.unit.hear_notices"],
        cwd=Path(__file__).parents[2],
        input=json.dumps(scenes),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def test_a_member_that_somebody_adds_is_told_with_both_and_never_with_a_guess(heard: Any) -> None:
    [notice] = heard["knows"][0]
    assert (notice["event"], notice["chat"], notice["at"]) == ("group.participants", GROUP, 1772366400.0)
    assert notice["said"] == {"by": BEA, "action": "join", "members": [CAROL]}


def test_our_number_leaving_a_group_is_an_event_of_its_own_beside_the_members(heard: Any) -> None:
    members, ours = heard["knows"][1]
    assert (members["event"], members["said"]["members"]) == ("group.participants", [US])
    assert (ours["event"], ours["said"]) == ("group.leave", {"by": BEA})


def test_a_change_of_a_group_says_what_is_different_now(heard: Any) -> None:
    assert heard["knows"][2][0]["said"]["action"] == "promote"
    [notice] = heard["knows"][3]
    assert (notice["event"], notice["said"]["changes"]) == ("group.update", {"subject": "Walks", "locked": False})


def test_a_change_that_we_do_not_tell_of_makes_no_notice(heard: Any) -> None:
    assert heard["knows"][4] == []


def test_a_group_that_we_come_into_is_told_with_its_subject(heard: Any) -> None:
    [notice] = heard["knows"][5]
    assert (notice["event"], notice["chat"], notice["said"]) == ("group.join", GROUP, {"by": BEA, "subject": "Walks"})


def test_a_call_is_told_with_its_caller_and_whether_it_is_with_pictures(heard: Any) -> None:
    [notice] = heard["knows"][6]
    assert (notice["event"], notice["chat"]) == ("call.received", "14155550123@s.whatsapp.net")
    assert notice["said"] == {"call_id": "CALL1", "from": BEA, "is_video": True, "is_group": False}


def test_a_call_to_a_group_is_told_with_the_group(heard: Any) -> None:
    [notice] = heard["knows"][7]
    assert (notice["chat"], notice["said"]["is_video"], notice["said"]["is_group"]) == (GROUP, False, True)


def test_devices_that_know_more_and_less_of_people_give_a_notice_the_same_name(heard: Any) -> None:
    names = {side: [[(one["event"], one["name"]) for one in scene] for scene in heard[side]] for side in heard}
    assert names["knows"] == names["knows_nobody"]
    everything = [name for scene in names["knows"] for name in scene]
    assert len(set(everything)) == len(everything)
