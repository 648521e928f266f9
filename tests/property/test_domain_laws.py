"""Laws of the pure parts, over whatever hypothesis can think of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepline.domain.addresses import parse_chat, phone_of
from keepline.domain.content.bodies import text_content
from keepline.domain.errors import InvalidInput
from keepline.domain.ids import (
    inbound_message_id,
    is_message_id,
    is_own_id,
    message_id_for_key,
    new_message_id,
    new_session_id,
)
from keepline.domain.link_events import SendOutcome
from keepline.domain.message import Cause, MessageState, next_state
from keepline.domain.pacing import OFF, Pacing
from keepline.domain.reconnect import BACK_OFF_MAX_S, back_off_s
from keepline.domain.send_queue import Outgoing, SendQueue
from keepline.domain.tag import TAG_BYTES, TRIES_MAX, Tagged, message_tag, read_tag

START = datetime(2026, 1, 1, tzinfo=UTC)
PROOFS = [Cause.TAKEN, Cause.DELIVERED, Cause.READ, Cause.PLAYED]


@given(st.lists(st.sampled_from(PROOFS), max_size=4))
def test_the_order_of_receipts_does_not_matter(proofs: list[Cause]) -> None:
    ends = set()
    for order in permutations(proofs):
        state = MessageState.QUEUED
        for proof in order:
            moved = next_state(state, proof)
            assert moved is not None
            state = moved
        ends.add(state)
    assert len(ends) == 1


@given(st.text(max_size=80))
def test_an_address_is_understood_or_refused_with_a_hint_and_never_guessed(text: str) -> None:
    try:
        chat = parse_chat(text)
    except InvalidInput as error:
        assert error.code in ("bad_number", "group_not_supported")
        assert error.hint
        return
    # What is understood is a fixed point, and its digits were in the text.
    assert parse_chat(chat) == chat
    digits = chat.partition("@")[0]
    assert digits in "".join(character for character in text if character.isdigit())


@given(
    st.from_regex(r"1415555[0-9]{4}", fullmatch=True), st.sampled_from(["{}", "+{}", "{}@s.whatsapp.net", "{}@c.us"])
)
def test_every_way_to_write_a_number_means_the_same_chat(number: str, form: str) -> None:
    chat = parse_chat(form.format(number))
    assert chat == f"{number}@s.whatsapp.net"
    assert phone_of(chat) == number


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_back_off_is_never_nothing_and_never_above_the_maximum(failures: int, jitter: float) -> None:
    assert 0.5 <= back_off_s(failures, jitter) <= BACK_OFF_MAX_S
    assert back_off_s(failures, jitter) <= back_off_s(failures + 1, jitter)


@given(st.binary(min_size=16, max_size=32), st.binary(min_size=32, max_size=32), st.integers(0, TRIES_MAX - 1))
def test_a_tag_says_which_try_of_which_message_it_marks_and_only_to_its_account(
    entropy: bytes, key: bytes, attempt: int
) -> None:
    message_id = new_message_id(entropy)
    tag = message_tag(key, message_id, attempt)
    assert len(tag) == TAG_BYTES
    assert read_tag(key, tag) == Tagged(message_id, attempt)
    assert read_tag(key[::-1] + b"x", tag) is None
    for position in range(TAG_BYTES):
        bent = bytearray(tag)
        bent[position] ^= 1 << attempt % 8
        assert read_tag(key, bytes(bent)) is None


@given(st.binary(min_size=16, max_size=32), st.text(min_size=1, max_size=40))
def test_ids_have_their_form(entropy: bytes, text: str) -> None:
    assert is_message_id(new_message_id(entropy))
    assert is_message_id(inbound_message_id("demo_s1", text, text))
    assert len(new_session_id(entropy)) == 12
    if text.isprintable():
        assert message_id_for_key("demo_s1", text) == message_id_for_key("demo_s1", text)
        assert message_id_for_key("demo_s1", text) != message_id_for_key("demo_s2", text)


OUTCOMES = [
    SendOutcome("sent", wa_message_id="W"),
    SendOutcome("not_sent", error_code="not_connected"),
    SendOutcome("refused", error_code="wa_429"),
    SendOutcome("refused", error_code="wa_479"),
    SendOutcome("unknown"),
    SendOutcome("unknown", wa_message_id="W"),
]


@settings(max_examples=200)
@given(st.data())
def test_whatever_happens_a_chat_is_sent_in_order_and_nothing_is_handed_over_twice_at_once(data: st.DataObject) -> None:
    rows = [
        Outgoing(
            f"m{n}", f"chat{data.draw(st.integers(0, 2))}", text_content(""), START + timedelta(seconds=n), START, START
        )
        for n in range(data.draw(st.integers(1, 8)))
    ]
    order = {row.message_id: n for n, row in enumerate(rows)}
    queue = SendQueue(3, "a", Pacing(OFF, 0.0))
    queue.offer(rows)
    now_s, attempt = 0.0, 0
    in_flight: list[Outgoing] = []
    proven: dict[str, list[int]] = {}
    for _ in range(60):
        now_s += 200
        for row in queue.doubts():
            match data.draw(st.sampled_from(["waits", "given up", "not seen"]), label="what becomes of a doubt"):
                case "given up":
                    queue.give_up_waiting(row, START)
                case "not seen":
                    queue.witnessed(row.message_id, None, START)
        plan = queue.plan(START, now_s, may_send=True)
        if plan and data.draw(st.booleans(), label="the commit is answered"):
            attempt += 1
            queue.committed(plan, attempt, [START + timedelta(seconds=now_s)] * len(plan.write))
            assert not {row.message_id for row in plan.claim} & {row.message_id for row in in_flight}
            in_flight += plan.claim
            assert len(in_flight) <= 3
        elif plan.claim:
            queue.release_unknown([row.message_id for row in (*plan.claim, *in_flight)])
        blocked: set[str] = set()
        for row in list(in_flight):
            if row.chat in blocked:
                queue.put_back(row)
            else:
                outcome = data.draw(st.sampled_from(OUTCOMES))
                queue.outcome(row, outcome, START, now_s)
                if row.state in (MessageState.QUEUED, MessageState.IN_DOUBT):
                    blocked.add(row.chat)
                elif row.state is MessageState.SENT:
                    proven.setdefault(row.chat, []).append(order[row.message_id])
            in_flight.remove(row)
    for chat, places in proven.items():
        assert places == sorted(set(places)), chat


@pytest.mark.parametrize("text", ["", "__name__", "_x", "a/b", "..", "a-b", "ä", "a" * 81])
def test_what_firestore_would_refuse_or_take_for_a_path_is_no_id_of_ours(text: str) -> None:
    assert not is_own_id(text)
    assert is_own_id("wk4q2m3zt6b7r5xoe")
    assert is_own_id("session_banned_kw2qa7ivnbzyvw3bm72gyhx3lg_1")
