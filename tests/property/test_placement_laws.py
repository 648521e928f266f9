"""Placement: what holds for any set of connectors and devices."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepline.domain.placement import BETTER_MOVES_MAX, Move, Place, Placed, plan_moves

ROUNDS_MAX = 400


@st.composite
def places(draw: st.DrawFn, *, all_open: bool = False) -> list[Place]:
    return [
        Place(
            id=f"c{n}",
            region=draw(st.sampled_from(["west", "east", "north"])),
            capacity=draw(st.integers(0, 12)),
            alive=all_open or draw(st.booleans()),
            draining=not all_open and draw(st.booleans()),
        )
        for n in range(draw(st.integers(1, 5)))
    ]


@st.composite
def devices(draw: st.DrawFn, among: list[Place]) -> list[Placed]:
    """As they may stand: also with holders that nobody knows, and more of them than a connector should hold."""
    holders = st.sampled_from([None, "gone", *(place.id for place in among)])
    slots = st.sampled_from([("a",), ("a", "b"), ("b",), ("a", "b", "c")])
    return [Placed(f"account{n}", slot, draw(holders)) for n in range(draw(st.integers(0, 10))) for slot in draw(slots)]


worlds = places().flatmap(lambda among: st.tuples(st.just(among), devices(among)))


def after(standing: list[Placed], moves: list[Move]) -> list[Placed]:
    to = {move.device: move.to for move in moves}
    return [replace(device, holder=to.get(device, device.holder)) for device in standing]


def settle(among: list[Place], standing: list[Placed]) -> tuple[list[Placed], int]:
    """Round after round until nothing moves."""
    for rounds in range(ROUNDS_MAX):
        moves = plan_moves(among, standing)
        if not moves:
            return standing, rounds
        standing = after(standing, moves)
    raise AssertionError("it never settles")


def usable(place: Place) -> bool:
    return place.alive and not place.draining


@given(worlds)
def test_no_move_goes_over_a_capacity_or_to_a_connector_that_is_dead_or_leaving(
    world: tuple[list[Place], list[Placed]],
) -> None:
    among, standing = world
    moves = plan_moves(among, standing)
    by_id = {place.id: place for place in among}
    load = Counter(device.holder for device in after(standing, moves))
    for move in moves:
        assert usable(by_id[move.to])
        assert load[move.to] <= by_id[move.to].capacity
        assert move.to != move.device.holder
    assert len({move.device for move in moves}) == len(moves)


@given(worlds, st.randoms(use_true_random=False))
def test_every_connector_computes_the_same(world: tuple[list[Place], list[Placed]], random: Random) -> None:
    among, standing = world
    moves = plan_moves(among, standing)
    random.shuffle(among)
    random.shuffle(standing)
    assert plan_moves(among, standing) == moves


@given(worlds)
def test_what_nothing_forces_is_at_most_a_few_moves(world: tuple[list[Place], list[Placed]]) -> None:
    among, standing = world
    by_id = {place.id: place for place in among}
    optional = [move for move in plan_moves(among, standing) if move.reason in ("apart", "balance")]
    assert len(optional) <= BETTER_MOVES_MAX
    for move in plan_moves(among, standing, better_moves_max=0):
        holder = by_id.get(move.device.holder or "")
        assert holder is None or not usable(holder) or holder.capacity == 0


@settings(max_examples=150, deadline=None)
@given(worlds)
def test_it_settles_and_then_stays(world: tuple[list[Place], list[Placed]]) -> None:
    among, standing = world
    settled, _ = settle(among, standing)
    assert plan_moves(among, settled) == []


@given(worlds)
def test_nobody_is_left_out_while_there_is_room(world: tuple[list[Place], list[Placed]]) -> None:
    among, standing = world
    now = after(standing, plan_moves(among, standing))
    alive = {place.id for place in among if place.alive}
    load = Counter(device.holder for device in now)
    room = sum(max(0, place.capacity - load[place.id]) for place in among if usable(place))
    homeless = [device for device in now if device.holder not in alive]
    assert not homeless or room == 0


@settings(max_examples=150, deadline=None)
@given(places(all_open=True).flatmap(lambda among: st.tuples(st.just(among), devices(among))))
def test_with_room_everywhere_devices_of_an_account_end_as_far_apart_as_can_be_and_balanced(
    world: tuple[list[Place], list[Placed]],
) -> None:
    among, standing = world
    among = [replace(place, capacity=40) for place in among]
    settled, _ = settle(among, standing)
    region_of = {place.id: place.region for place in among}
    accounts: dict[str, list[str]] = {}
    for device in settled:
        assert device.holder is not None
        accounts.setdefault(device.account, []).append(device.holder)
    for holders in accounts.values():
        assert len(set(holders)) == min(len(holders), len(among))
        regions = {region_of[holder] for holder in holders}
        assert len(regions) == min(len(holders), len(set(region_of.values())))
    # Standbys apart can stand in the way of a perfect balance when a region has one connector; within a region nothing does.
    load = Counter(device.holder for device in settled)
    alone = [device for device in settled if len(accounts[device.account]) == 1]
    if len(alone) == len(settled):
        assert max(load[place.id] for place in among) - min(load[place.id] for place in among) <= 1


def region(name: str, connectors: int, capacity: int = 100) -> list[Place]:
    return [Place(f"{name}{n}", name, capacity) for n in range(connectors)]


def count(standing: list[Placed]) -> Counter[str | None]:
    return Counter((device.holder or "")[:4] for device in standing)


def test_a_region_that_is_lost_moves_at_once_and_comes_back_gradually() -> None:
    both = [*region("west", 2), *region("east", 2)]
    start = [Placed(f"account{n:02}", slot) for n in range(20) for slot in "ab"]
    standing, _ = settle(both, start)
    assert count(standing) == {"west": 20, "east": 20}

    lost = [replace(place, alive=place.region != "west") for place in both]
    moves = plan_moves(lost, standing)
    assert {move.device for move in moves if move.reason == "homeless"} == {
        device for device in standing if (device.holder or "").startswith("west")
    }
    standing, _ = settle(lost, standing)
    assert count(standing) == {"east": 40}
    for account in {device.account for device in standing}:
        assert len({device.holder for device in standing if device.account == account}) == 2

    assert len(plan_moves(both, standing)) == BETTER_MOVES_MAX
    standing, rounds = settle(both, standing)
    assert count(standing) == {"west": 20, "east": 20}
    assert rounds == 20 / BETTER_MOVES_MAX


def test_where_room_is_short_everybody_has_one_device_before_anybody_has_two() -> None:
    start = [Placed(f"account{n}", slot) for n in range(6) for slot in "ab"]
    moves = plan_moves([Place("west0", "west", 8)], start)
    assert len(moves) == 8
    assert {move.device.account for move in moves} == {f"account{n}" for n in range(6)}


def test_a_draining_connector_keeps_what_nobody_has_room_for() -> None:
    among = [replace(Place("west0", "west", 10), draining=True), Place("east0", "east", 1)]
    standing = [Placed("account0", "a", "west0"), Placed("account1", "a", "west0")]
    assert [(move.device.account, move.to, move.reason) for move in plan_moves(among, standing)] == [
        ("account0", "east0", "draining")
    ]


def test_a_new_connector_is_filled_with_standbys_first() -> None:
    standing = [Placed(f"account{n}", slot, "west0" if slot == "a" else "east0") for n in range(4) for slot in "ab"]
    among = [Place("west0", "west", 10), Place("east0", "east", 10), Place("east1", "east", 10)]
    assert {move.device.slot for move in plan_moves(among, standing)} == {"b"}


@pytest.mark.parametrize("difference", [0, 1])
def test_a_difference_that_a_move_would_only_turn_round_is_left(difference: int) -> None:
    standing = [Placed(f"account{n}", "a", "c0") for n in range(5 + difference)]
    standing += [Placed(f"other{n}", "a", "c1") for n in range(5)]
    assert plan_moves([Place("c0", "west", 20), Place("c1", "west", 20)], standing) == []


@given(worlds)
def test_nobody_gets_a_second_device_while_somebody_has_none(world: tuple[list[Place], list[Placed]]) -> None:
    among, standing = world
    alive = {place.id for place in among if place.alive}
    moves = [move for move in plan_moves(among, standing) if move.reason == "homeless"]
    had = {device.account for device in standing if device.holder in alive}
    seconds = [move.device.account for move in moves if move.device.account in had]
    placed = {move.device.account for move in moves} | had
    assert {device.account for device in standing} == placed or not seconds


def test_of_an_account_without_any_device_the_one_that_sends_finds_room_first() -> None:
    start = [Placed(f"account{n}", slot, sends=slot == "b") for n in range(3) for slot in "ab"]
    moves = plan_moves([Place("west0", "west", 3)], start)
    assert {(move.device.account, move.device.slot) for move in moves} == {(f"account{n}", "b") for n in range(3)}


def test_an_account_whose_other_device_lives_waits_behind_one_that_has_none() -> None:
    start = [Placed("account0", "a"), Placed("account0", "b", "west0"), Placed("account1", "b")]
    [move] = plan_moves([Place("west0", "west", 2)], start)
    assert move.device.account == "account1"
