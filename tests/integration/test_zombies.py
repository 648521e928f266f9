"""A connection that stands and is dead, with the real neonize: found by a question when nothing is said, and made anew."""

from __future__ import annotations

import time

import pytest

from tests.integration.conftest import PHONE, Gateway

# What the design promises of an idle connection (profile `extreme`), and what it takes until a test can read it.
FOUND_LIMIT_S = 5.0
TOLD_LIMIT_S = 1.0


@pytest.mark.parametrize("kind", ["stop_answering", "half_open"])
async def test_an_idle_connection_that_answers_nothing_is_found_within_five_seconds_and_made_anew(
    gateway: Gateway, kind: str
) -> None:
    gateway.start()
    account = await gateway.link()
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    gateway.whatsapp.add_fault(kind, {"number": PHONE}, {"for_s": 7})
    began_s = time.monotonic()
    document = await gateway.until_state(account, "degraded", "reconnecting")
    found_s = time.monotonic() - began_s
    assert document.fields["reason"]["code"] == "no_answer"
    assert found_s <= FOUND_LIMIT_S + TOLD_LIMIT_S
    await gateway.until_state(account, "connected")
    print(f"{kind}: found after {found_s:.2f} s, healed after {time.monotonic() - began_s:.2f} s")
    await gateway.until_message(await gateway.send(account, "after"), "delivered")
    assert gateway.inbox() == ["before", "after"]


async def test_a_quiet_connection_that_works_stays_and_its_evidence_is_young(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    _, cursor = gateway.whatsapp.log(0)
    ages = []

    async def watched() -> bool:
        document = await gateway.store.get("connectors/connector-1")
        assert document is not None
        beat = document.fields["devices"].get(f"{account}_a")
        ages.append(beat["evidence_age_ms"])
        return len(ages) >= 400

    await gateway.until(watched, "some quiet seconds", 60)
    events, _ = gateway.whatsapp.log(cursor)
    assert not [event for event in events if event["kind"] in ("login", "disconnected")]
    assert max(age for age in ages if age is not None) <= 5_000
