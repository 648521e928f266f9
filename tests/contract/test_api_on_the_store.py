"""What the API asks of its store beyond reading and writing one document, on the fake and on Firestore alike."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from keepline.adapters.system_clock import SystemClock
from keepline.domain.content.bodies import text_content
from keepline.domain.errors import LimitReached, StateConflict
from keepline.domain.message import MessageState, OnDoubt
from keepline.domain.pool_limits import PoolLimits
from keepline.domain.send_options import Priority, SendOptions
from keepline.domain.session import SessionState, SessionStatus
from keepline.domain.standby import Standby
from keepline.ports.documents import Delete, DocumentStore, StoreConflict, Update
from keepline.records import accounts, outbox
from keepline.records.outbox import Authority
from keepline.usecases import pool
from keepline.usecases.deleting import clear_device
from keepline.usecases.limiting import Limiter
from keepline.usecases.linking import Linking
from keepline.usecases.message_lists import MessageLists
from keepline.usecases.messages import Messages
from keepline.usecases.proxy_sealing import ProxySealer
from keepline.usecases.sessions import Created, SessionChoices, Sessions
from keepline.usecases.withdrawing import expire

CLOCK = SystemClock()
SEALER = ProxySealer(None, os.urandom, private_allowed=False)
ACCOUNT = "demo_shop"


class Api:
    def __init__(self, store: DocumentStore) -> None:
        self.store = store
        limiter = Limiter(store, CLOCK)
        self.sessions = Sessions(store, CLOCK, os.urandom, SEALER, limiter)
        self.linking = Linking(store, CLOCK, limiter)
        self.messages = Messages(store, CLOCK, os.urandom, limiter)
        self.lists = MessageLists(store, CLOCK)

    async def send(self, text: str = "hello", options: SendOptions | None = None) -> str:
        accepted = await self.messages.send(
            "demo", "shop", "14155550123", text_content(text), None, options or SendOptions()
        )
        return accepted.message.message_id

    async def fail(self, message_id: str) -> None:
        fields = {"state": "failed", "error_code": "wa_503", "attempts": 8}
        await self.store.commit([Update(outbox.row_path(message_id), fields)])


@pytest.fixture
async def api(store: DocumentStore) -> Api:
    api = Api(store)
    await api.sessions.create("demo", "shop", SessionChoices(on_doubt=OnDoubt.HOLD))
    connected = SessionStatus(SessionState.CONNECTED, "connected")
    await store.commit([accounts.account_status(ACCOUNT, connected, phone="14155550100", lid=None)])
    return api


async def test_a_message_is_read_back_as_it_was_asked_for(api: Api) -> None:
    send_at = CLOCK.now() + timedelta(hours=1)
    asked = SendOptions(send_at, send_at + timedelta(hours=1), Priority.HIGH)
    view = await api.messages.get("demo", await api.send(options=asked))
    assert view.delivery is not None
    assert view.state is MessageState.SCHEDULED
    assert (view.delivery.send_at, view.delivery.expires_at) == (asked.send_at, asked.expires_at)
    assert (view.delivery.priority, view.delivery.on_doubt) == (Priority.HIGH, OnDoubt.HOLD)


async def test_a_queue_is_counted_with_those_for_later_and_without_those_that_are_done(api: Api) -> None:
    later = SendOptions(send_at=CLOCK.now() + timedelta(days=1))
    for number in range(3):
        await api.send(f"text {number}", later if number else None)
    await api.fail(await api.send("done"))
    view = await api.sessions.look("demo", "shop")
    assert view.queued == await api.store.count(outbox.queued_rows(ACCOUNT, 100)) == 3
    assert await api.store.count(outbox.queued_rows(ACCOUNT, 2)) == 2  # As far as the limit goes.
    assert view.oldest_queued_s is not None


async def test_of_a_cancel_and_a_claim_at_the_same_moment_one_is_refused(api: Api) -> None:
    """Whoever comes second has read a version that is no more: also where the authority is made by the cancel."""
    message_id, second = await api.send("one"), await api.send("two")
    for name in (message_id, second):
        document = await api.store.get(outbox.authority_path(ACCOUNT))
        held = Authority.read(document) if document is not None else Authority(ACCOUNT, 1, "c1", "a")
        assert (await api.messages.cancel("demo", name)).state is MessageState.CANCELLED
        with pytest.raises(StoreConflict):
            await api.store.commit([held.after([name], []).write()])


async def test_claims_and_cancels_in_a_race_never_both_win(api: Api) -> None:
    ids = [await api.send(f"text {number}") for number in range(6)]

    async def claim(message_id: str) -> bool:
        document = await api.store.get(outbox.authority_path(ACCOUNT))
        authority = Authority.read(document) if document is not None else Authority(ACCOUNT, 1, "c1", "a")
        row = await api.store.get(outbox.row_path(message_id))
        if row is None or row.fields["state"] != MessageState.QUEUED:
            return False
        try:
            await api.store.commit([authority.after([message_id], []).write()])
        except StoreConflict:
            return False
        return True

    async def cancel(message_id: str) -> bool:
        try:
            await api.messages.cancel("demo", message_id)
        except StateConflict as error:
            assert error.code == "already_sending"
            return False
        return True

    for message_id in ids:
        claimed, cancelled = await asyncio.gather(claim(message_id), cancel(message_id))
        assert not (claimed and cancelled)
        assert claimed or cancelled


async def test_dead_letters_are_listed_newest_first_and_replayed_to_the_end_of_the_queue(api: Api) -> None:
    failed = [await api.send(f"text {number}") for number in range(3)]
    for message_id in failed:
        await api.fail(message_id)
    waiting = await api.send("waits")
    page = await api.lists.dead_letters("demo", "shop", 2, None)
    letters = page.messages
    while page.next_before is not None:
        page = await api.lists.dead_letters("demo", "shop", 2, page.next_before)
        letters += page.messages
    assert sorted(view.message_id for view in letters) == sorted(failed)
    # Those of one millisecond are in no order, and the fake is quick.
    assert [view.at for view in letters] == sorted((view.at for view in letters), reverse=True)
    assert (await api.messages.replay("demo", failed[0])).state is MessageState.QUEUED
    queued = await api.store.query(outbox.queued_rows(ACCOUNT, 10))
    assert [row.id for row in queued] == [waiting, failed[0]]


async def test_only_overdue_rows_are_found_and_expired(api: Api) -> None:
    now = CLOCK.now()
    soon = await api.send("soon", SendOptions(expires_at=now + timedelta(minutes=1)))
    await api.send("later", SendOptions(expires_at=now + timedelta(hours=1)))
    await api.send("always")
    overdue = await api.store.query(outbox.overdue_rows(now + timedelta(minutes=2), 10))
    assert [row.id for row in overdue] == [soon]
    # Read before a change of somebody else's: the second try sees what is there.
    await api.store.commit([replace(Authority.nobodys(ACCOUNT), generation=1).write()])
    await expire(api.store, ACCOUNT, overdue)
    view = await api.messages.get("demo", soon)
    assert (view.state, view.error_code) == (MessageState.EXPIRED, "expired")
    assert "expired" in view.times
    assert await api.store.query(outbox.overdue_rows(now + timedelta(minutes=2), 10)) == []


async def test_of_creations_in_a_race_only_as_many_succeed_as_the_limit_allows(api: Api) -> None:
    """Also where a place's name has to be quoted for Firestore, and where its account's has dots."""
    limits = PoolLimits(of_user=2, of_all=4)
    instances = [Sessions(api.store, CLOCK, os.urandom, SEALER, Limiter(api.store, CLOCK), limits) for _ in range(3)]
    tenants = ("x.y", "a:b", "7up")  # and "demo", which has one
    asked = [one.create(tenant, f"s{number}") for number, one in enumerate(instances) for tenant in tenants]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    refused = {error.code for error in outcomes if isinstance(error, LimitReached)}
    created = [one.session.account for one in outcomes if isinstance(one, Created)]
    assert (len(created), len(outcomes)) == (3, 9)
    assert refused <= {"installation_full", "session_limit_reached"}
    assert "installation_full" in refused
    assert (await pool.places(api.store)).tenants == {ACCOUNT: "demo"} | {one.id: one.tenant for one in created}


async def test_a_place_is_given_back_with_its_account_and_once(api: Api) -> None:
    await api.sessions.create("x.y", "shop")
    await api.sessions.delete("x.y", "shop")
    await asyncio.gather(*(clear_device(api.store, "x.y_shop", "a") for _ in range(2)), return_exceptions=True)
    assert await api.store.get(accounts.account_path("x.y_shop")) is None
    assert (await pool.places(api.store)).tenants == {ACCOUNT: "demo"}


async def test_places_that_drifted_are_healed(api: Api) -> None:
    await pool.heal(api.store, CLOCK)
    assert (await pool.places(api.store)).tenants == {ACCOUNT: "demo"}
    await api.store.commit([Delete(accounts.account_path(ACCOUNT))])
    await pool.heal(api.store, CLOCK)
    assert (await pool.places(api.store)).tenants == {}


async def test_a_standby_is_made_once_and_goes_with_its_session(api: Api) -> None:
    await asyncio.gather(*(api.linking.add_standby("demo", "shop") for _ in range(4)))
    view = await api.sessions.look("demo", "shop")
    assert (view.standby.state, [device.slot for device in view.devices]) == (Standby.LINKING, ["a", "b"])
    await api.sessions.delete("demo", "shop")
    devices = await api.store.query(accounts.devices_of_account(ACCOUNT))
    assert [device.fields["wanted"] for device in devices] == [False, False]
