"""The pool: how many sessions there may be, of a user and in all, whoever asks at once and wherever."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from keepline.domain.errors import LimitReached
from keepline.domain.pool_limits import PoolLimits
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import Delete, Update
from keepline.records import accounts, pool
from keepline.usecases.deleting import clear_device
from keepline.usecases.limiting import Limiter
from keepline.usecases.proxy_sealing import ProxySealer
from keepline.usecases.sessions import Sessions

from .support import World, error_code


def create(world: World, name: str, headers: dict[str, str] | None = None) -> Any:
    return world.client.post("/api/sessions/create", json={"session_id": name}, headers=headers or world.anna)


def refused(answer: Any) -> tuple[int, str, int, int]:
    error = answer.get_json()["error"]
    assert error["message"]
    assert error["hint"]
    return answer.status_code, error["code"], error["limit"], error["used"]


def places(world: World) -> dict[str, str]:
    found = world.fields(pool.PATH)["places"].values()
    assert len({place["account"] for place in found}) == len(found)
    return {place["account"]: place["tenant"] for place in found}


def clear(world: World, account: str, slot: str = "a") -> None:
    """What the session's connector does when it has unlinked a device."""
    world.run(clear_device(world.store, account, slot))


def minute(world: World) -> None:
    world.run(world.process.minute_round.make())


def api(world: World, of_user: int = 5, of_all: int = 100) -> Sessions:
    """The sessions as one more instance of the API has them."""
    sealer = ProxySealer(None, secrets.token_bytes, private_allowed=False)
    limiter = Limiter(world.store, world.clock)
    return Sessions(world.store, world.clock, secrets.token_bytes, sealer, limiter, PoolLimits(of_user, of_all))


def test_a_user_has_five_sessions_and_the_sixth_is_refused_with_the_counts(world: World) -> None:
    for number in range(5):
        assert create(world, f"shop-{number}").status_code == 201
    before = world.store.commits
    assert refused(create(world, "shop-5")) == (409, "session_limit_reached", 5, 5)
    assert world.store.commits == before
    assert create(world, "shop-5", world.bert).status_code == 201  # Another user's sessions are another's.


def test_an_installation_that_is_full_says_so_to_whoever_asks(world: World) -> None:
    async def fill() -> None:
        for number in range(100):
            await api(world).create(f"user-{number // 5}", f"s{number}")

    world.run(fill())
    assert refused(create(world, "shop")) == (409, "installation_full", 100, 100)
    assert len(places(world)) == 100


def test_a_session_that_exists_is_told_apart_from_one_too_many(world: World) -> None:
    for number in range(5):
        create(world, f"shop-{number}")
    answer = create(world, "shop-3")
    assert (answer.status_code, error_code(answer)) == (409, "session_exists")


@pytest.mark.parametrize(("of_user", "of_all"), [(5, 100), (100, 5)])
def test_of_many_at_once_in_two_instances_only_as_many_succeed_as_fit(world: World, of_user: int, of_all: int) -> None:
    async def race() -> list[object]:
        instances = [api(world, of_user, of_all), api(world, of_user, of_all)]
        asked = [instances[number % 2].create("anna", f"s{number}") for number in range(12)]
        return await asyncio.gather(*asked, return_exceptions=True)

    minute(world)  # The document is there: all of them read it, and then all of them commit.
    outcomes = world.run(race())
    failures = [one for one in outcomes if isinstance(one, BaseException)]
    assert (len(outcomes) - len(failures), len(failures)) == (5, 7)
    assert all(isinstance(failure, LimitReached) for failure in failures)
    assert len(world.all_in(accounts.ACCOUNTS)) == len(places(world)) == 5


def test_a_place_taken_between_the_look_and_the_commit_is_seen(world: World) -> None:
    for number in range(4):
        create(world, f"shop-{number}")

    async def take_the_last() -> object:
        taken = pool.Places.read(await world.store.get(pool.PATH))  # type: ignore[arg-type]
        return await world.store.others_commit(pool.take(taken, "anna_last", "anna"))

    world.store.meanwhile = [take_the_last]
    assert refused(create(world, "shop-4")) == (409, "session_limit_reached", 5, 5)


def test_a_creation_whose_answer_was_lost_takes_one_place(world: World) -> None:
    create(world, "shop-0")
    world.store.conflicts_after_applying = 1
    assert create(world, "shop-1").status_code == 201
    assert places(world) == {"anna_shop-0": "anna", "anna_shop-1": "anna"}


def test_a_deleted_session_gives_its_place_back_when_it_is_cleared_and_once(world: World) -> None:
    for number in range(5):
        create(world, f"shop-{number}")
    world.delete("/api/sessions/shop-0")
    assert refused(create(world, "new"))[1] == "session_limit_reached"  # Its device is still linked.
    clear(world, "anna_shop-0")
    assert create(world, "new").status_code == 201
    clear(world, "anna_shop-0")  # As a connector does that was killed before it knew that it was done.
    assert refused(create(world, "newer"))[1] == "session_limit_reached"
    assert len(places(world)) == 5


def test_two_connectors_that_clear_the_devices_of_one_session_give_one_place_back(world: World) -> None:
    create(world, "shop")
    create(world, "other")
    world.commit(Update(accounts.account_path("anna_shop"), {"phone": "14155550100"}))
    world.post("/api/sessions/shop/standby")
    world.delete("/api/sessions/shop")

    async def both() -> None:
        cleared = [clear_device(world.store, "anna_shop", slot) for slot in ("a", "b")]
        await asyncio.gather(*cleared, return_exceptions=True)

    world.run(both())
    assert world.document(accounts.account_path("anna_shop")) is None
    assert places(world) == {"anna_other": "anna"}


def test_a_standby_takes_no_place_and_gives_none_back(world: World) -> None:
    create(world, "shop")
    world.commit(Update(accounts.account_path("anna_shop"), {"phone": "14155550100"}))
    world.post("/api/sessions/shop/standby")
    assert len(places(world)) == 1
    world.delete("/api/sessions/shop/standby")
    clear(world, "anna_shop", "b")
    assert len(places(world)) == 1


@pytest.mark.parametrize("tenant", ["x.y", "a:b-c", "0digits", "A_b"])
def test_a_place_can_be_kept_for_any_user(world: World, tenant: str) -> None:
    headers = world.add_key(tenant)
    assert create(world, "shop", headers).status_code == 201
    assert places(world) == {f"{tenant}_shop": tenant}
    world.delete("/api/sessions/shop", headers)
    clear(world, f"{tenant}_shop")
    assert places(world) == {}


def test_sessions_from_before_there_were_places_are_counted(world: World) -> None:
    for number in range(5):
        world.add_session(f"old-{number}")
    assert refused(create(world, "new")) == (409, "session_limit_reached", 5, 5)


def test_a_deletion_needs_no_places(world: World) -> None:
    account = world.add_session()
    world.delete("/api/sessions/shop")
    clear(world, account)
    assert world.document(accounts.account_path(account)) is None


def test_a_place_without_a_session_is_free_again_after_a_minute(world: World) -> None:
    for number in range(5):
        create(world, f"shop-{number}")
    world.commit(  # By hand, past the API.
        Delete(accounts.account_path("anna_shop-0")), Delete(accounts.device_path("anna_shop-0", "a"))
    )
    assert refused(create(world, "new"))[1] == "session_limit_reached"
    minute(world)
    assert len(places(world)) == 4
    assert create(world, "new").status_code == 201


def test_a_session_without_a_place_has_one_after_a_minute(world: World) -> None:
    create(world, "shop")
    world.add_session("by-hand")
    minute(world)
    assert places(world) == {"anna_shop": "anna", "anna_by-hand": "anna"}


def test_a_drift_that_does_not_change_the_number_heals_within_an_hour(world: World) -> None:
    create(world, "shop")
    create(world, "lost")
    world.commit(Delete(accounts.account_path("anna_lost")), Delete(accounts.device_path("anna_lost", "a")))
    world.add_session("by-hand")
    minute(world)
    assert "anna_by-hand" not in places(world)
    world.clock.advance(3_601)
    minute(world)
    assert places(world) == {"anna_shop": "anna", "anna_by-hand": "anna"}


def test_places_that_are_right_are_read_and_not_written(world: World) -> None:
    create(world, "shop")
    minute(world)
    before = world.store.commits
    world.clock.advance(60)
    minute(world)
    assert world.store.commits == before


def test_a_session_created_while_the_places_are_compared_keeps_its_place(world: World) -> None:
    create(world, "shop")
    world.add_session("by-hand")

    async def somebody_creates() -> object:
        taken = pool.Places.read(await world.store.get(pool.PATH))  # type: ignore[arg-type]
        writes = accounts.new_account(
            account="bert_new",
            tenant="bert",
            session_id="new",
            tag_key=bytes(32),
            status=WAITING_FOR_CONNECTOR,
        )
        return await world.store.others_commit(*writes, pool.take(taken, "bert_new", "bert"))

    world.store.meanwhile = [somebody_creates]
    minute(world)
    assert "bert_new" in places(world)
    minute(world)
    assert set(places(world)) == {"anna_shop", "anna_by-hand", "bert_new"}
