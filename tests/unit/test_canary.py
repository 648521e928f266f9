"""A new image goes to one connector, is proven there, and only then goes to the next; a bad one is taken back."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace

import pytest

from infra.canary.policy import LIMIT_S, PROVEN_S, Beat, Seen, Trial, order
from infra.canary.releasing import PoolTrouble, release
from keepline.testing.virtual_time import run_virtual

OLD, NEW = "registry/connector@sha256:old", "registry/connector@sha256:new"
ACCOUNTS = frozenset(f"t_s{number}" for number in range(100))


@dataclass
class Installation:
    """Two connectors. An image is `good`, never `beats`, beats and `logs_in` nowhere, or makes WhatsApp `refuse`."""

    fate: str = "good"
    images: dict[str, str] = field(default_factory=lambda: {"connector-1": OLD, "connector-2": OLD})
    processes: dict[str, str] = field(default_factory=lambda: {"connector-1": "p1", "connector-2": "p2"})
    log: list[str] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    bad_at: str = ""  # only this connector has the bad fate; empty: each

    async def image(self, connector: str) -> str:
        return self.images[connector]

    async def set_image(self, connector: str, image: str) -> None:
        if self._bad(connector, image) and self.fate == "not taken on":
            raise PoolTrouble("no such image")
        self.log.append(f"{connector} {image[-3:]}")
        self.images[connector] = image
        if not (self._bad(connector, image) and self.fate == "never beats"):
            self.processes[connector] = f"p{next(self.numbers)}-{image[-3:]}"

    def _bad(self, connector: str, image: str) -> bool:
        return image == NEW and self.fate != "good" and self.bad_at in ("", connector)

    async def look(self) -> Seen:
        beats, connected, outdated = {}, ACCOUNTS, frozenset[str]()
        for connector, image in self.images.items():
            bad = self._bad(connector, image)
            proven = 0 if bad and self.fate == "logs in nowhere" else 50
            beats[connector] = Beat(self.processes[connector], next(self.numbers), False, proven)
            if bad and self.fate == "loses sessions":
                connected = frozenset(sorted(ACCOUNTS)[:90])
            if bad and self.fate == "is refused":
                outdated = frozenset(["t_s1"])
        return Seen(beats, connected, outdated, ACCOUNTS, {"connector-1": 80, "connector-2": 20})

    def release(self) -> bool:
        async def scene() -> bool:
            clock = asyncio.get_running_loop().time
            return await release(self, self.look, clock, ["connector-1", "connector-2"], NEW, self.log.append)

        return run_virtual(scene())


def test_the_standbys_connector_gets_the_image_first_and_the_other_only_when_it_is_proven() -> None:
    there = Installation()
    assert there.release()
    moves = [line for line in there.log if line in ("connector-1 new", "connector-2 new", "connector-2 is proven")]
    assert moves == ["connector-2 new", "connector-2 is proven", "connector-1 new"]


@pytest.mark.parametrize("fate", ["never beats", "logs in nowhere", "loses sessions", "is refused", "not taken on"])
def test_a_bad_image_is_taken_back_and_never_reaches_the_other_connector(fate: str) -> None:
    there = Installation(fate)
    assert not there.release()
    assert there.images == {"connector-1": OLD, "connector-2": OLD}
    assert "connector-1 new" not in there.log


def test_an_image_that_fails_at_the_second_connector_is_taken_back_from_both() -> None:
    there = Installation("logs in nowhere", bad_at="connector-1")
    assert not there.release()
    assert there.images == {"connector-1": OLD, "connector-2": OLD}
    assert there.log.index("connector-1 old") < there.log.index("connector-2 old"), "the one that failed comes first"


def test_a_repeated_release_changes_nothing() -> None:
    there = Installation(images={"connector-1": NEW, "connector-2": NEW})
    assert there.release()
    assert not [line for line in there.log if line.endswith(" new")]


BEFORE = Seen({"c": Beat("old", 1, False, 5)}, ACCOUNTS, frozenset(), ACCOUNTS, {})


def after(**changes: object) -> Seen:
    return replace(BEFORE, beats={"c": Beat("new", 1, False, 5)}, **changes)  # type: ignore[arg-type]


def test_a_lease_that_stands_still_is_no_proof() -> None:
    trial = Trial("c", BEFORE, 0.0)
    assert trial.judge(after(), 5.0).why.startswith("well")
    assert trial.judge(after(), 30.0).why == "its lease does not stand"


def test_being_well_must_last() -> None:
    trial = Trial("c", BEFORE, 0.0)

    def look(at_s: float, number: int, proven: int = 5) -> bool:
        return trial.judge(replace(after(), beats={"c": Beat("new", number, False, proven)}), at_s).proven

    assert not look(0.0, 1)
    assert not look(PROVEN_S - 1, 2)
    assert not look(PROVEN_S, 3, proven=0)  # begins anew
    assert not look(PROVEN_S + 5, 4)
    assert look(2 * PROVEN_S + 5, 5)


def test_sessions_that_were_deleted_meanwhile_do_not_count_and_two_in_a_hundred_may_be_away() -> None:
    trial = Trial("c", BEFORE, 0.0)
    some = frozenset(sorted(ACCOUNTS)[:50])
    assert trial.judge(after(connected=some, there=some), 1.0).why.startswith("well")
    assert trial.judge(after(connected=frozenset(sorted(ACCOUNTS)[:98])), 2.0).why.startswith("well")
    assert trial.judge(after(connected=frozenset(sorted(ACCOUNTS)[:97])), 3.0).why.startswith("3 of 100")


def test_patience_ends() -> None:
    trial = Trial("c", BEFORE, 0.0)
    assert not trial.judge(BEFORE, LIMIT_S).failed
    assert trial.judge(BEFORE, LIMIT_S + 1).failed


def test_an_installation_without_sessions_can_be_released_to() -> None:
    before = replace(BEFORE, connected=frozenset(), there=frozenset())
    now = replace(before, beats={"c": Beat("new", 1, False, 0)})
    assert Trial("c", before, 0.0).judge(now, 1.0).why.startswith("well")


def test_of_two_that_send_alike_the_order_is_that_of_their_names() -> None:
    assert order(["b", "a"], BEFORE) == ["a", "b"]
