"""Messages of every kind as programs send and read them: what is written, what is refused and by which name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keepline.domain.content.references import MessageRef
from keepline.records import changes, outbox

from .support import CHAT, NOON, World, error_code

GROUP = "120363000000000000@g.us"
LONG_AGO = NOON - timedelta(hours=61)


def post(world: World, body: dict[str, Any], **headers: str) -> Any:
    return world.client.post("/api/messages/send", json={"session_id": "shop"} | body, headers=world.anna | headers)


def accepted(world: World, body: dict[str, Any]) -> dict[str, Any]:
    answer = post(world, body)
    assert answer.status_code == 202, answer.get_json()
    shown: dict[str, Any] = answer.get_json()
    assert world.get(f"/api/messages/{shown['message_id']}").get_json() == shown
    return shown


def sent(world: World, text: str = "hello", **fields: Any) -> str:
    """A message of the API that WhatsApp has."""
    message_id: str = accepted(world, {"to": CHAT, "text": text})["message_id"]
    world.settle(message_id, **({"state": "sent", "wa_message_id": f"WA-{message_id}", "times.sent": NOON} | fields))
    return message_id


PLACE = {"latitude": 48.2, "longitude": 16, "name": "Vienna", "address": ""}
PREVIEW = {"url": "https://a.example", "title": "A", "description": ""}
POLL = {"question": "When?", "options": ["now", "later"], "selectable": 1}


@pytest.mark.parametrize(
    ("body", "kind", "text", "shown"),
    [
        ({"text": "see https://a.example", "preview": PREVIEW}, "text", "see https://a.example", {"preview": PREVIEW}),
        (
            {"text": "@14155550199", "mentions": ["+1 415 555 0199", "5544332211@lid"]},
            "text",
            "@14155550199",
            {"mentions": [{"phone": "14155550199", "lid": None}, {"phone": None, "lid": "5544332211"}]},
        ),
        ({"kind": "location", "location": PLACE}, "location", "Vienna", {"location": PLACE}),
        ({"kind": "poll", "poll": POLL}, "poll", "When?", {"poll": POLL}),
    ],
)
def test_a_message_is_kept_and_shown_as_it_was_sent(
    shop: World, body: dict[str, Any], kind: str, text: str, shown: dict[str, Any]
) -> None:
    message = accepted(shop, {"to": CHAT} | body)
    assert (message["kind"], message["text"]) == (kind, text)
    assert {name: message[name] for name in shown} == shown


def test_a_card_is_made_of_numbers_or_taken_as_it_is(shop: World) -> None:
    vcard = "BEGIN:VCARD\nVERSION:3.0\nFN:Bea\nTEL:030 1234\nEND:VCARD"
    contacts = [{"name": "Ada; the first", "phones": ["+1 415 555 0123"]}, {"name": "Bea", "vcard": vcard}]
    message = accepted(shop, {"to": CHAT, "kind": "contact", "contacts": contacts})
    assert [card["phones"] for card in message["contacts"]] == [["14155550123"], ["030 1234"]]
    assert "FN:Ada\\; the first\n" in message["contacts"][0]["vcard"]
    assert "waid=14155550123:+14155550123" in message["contacts"][0]["vcard"]
    assert message["contacts"][1]["vcard"] == vcard


def test_what_is_about_a_message_goes_to_its_chat_with_whatsapps_names(shop: World) -> None:
    heard = shop.hear("anna_shop", "WA1", NOON, chat=GROUP)
    message = accepted(shop, {"kind": "reaction", "reaction": {"message": heard, "emoji": "👍"}})
    assert (message["chat"], message["to"], message["text"]) == (GROUP, None, "👍")
    assert message["reaction"] == {
        "message": {
            "message_id": heard,
            "wa_message_id": "WA1",
            "chat": GROUP,
            "from_me": False,
            "from": {"phone": "14155550123", "lid": None},
        },
        "emoji": "👍",
    }


def test_an_answer_quotes_what_the_message_says_now(shop: World) -> None:
    heard = shop.hear("anna_shop", "WA1", NOON)
    answer = accepted(shop, {"to": CHAT, "text": "yes", "quote": heard})
    assert (answer["quote"]["message_id"], answer["quote"]["text"]) == (heard, "text of WA1")
    ours = sent(shop)
    reference = named(shop, ours)
    shop.commit(changes.edited("anna_shop", reference, "E", "hello again", NOON))
    assert accepted(shop, {"to": CHAT, "text": "so", "quote": ours})["quote"]["text"] == "hello again"
    shown = shop.get(f"/api/messages/{ours}").get_json()
    assert (shown["text"], shown["edited_at"]) == ("hello again", "2026-03-01T12:00:00.000Z")


def test_a_forwarded_message_says_the_same_and_that_it_was_forwarded(shop: World) -> None:
    place = accepted(shop, {"to": CHAT, "kind": "location", "location": PLACE})["message_id"]
    shop.settle(place, state="delivered", wa_message_id="W1")
    forwarded = accepted(shop, {"to": "14155550199", "kind": "forward", "forward": {"message": place}})
    assert (forwarded["kind"], forwarded["location"], forwarded["forwarded"]) == ("location", PLACE, True)
    heard = shop.hear("anna_shop", "WA1", NOON)
    forwarded = accepted(shop, {"to": GROUP, "kind": "forward", "forward": {"message": heard}})
    assert (forwarded["kind"], forwarded["text"], forwarded["forwarded"]) == ("text", "text of WA1", True)


def test_a_revoked_message_shows_that_it_is_and_cannot_be_referred_to(shop: World) -> None:
    ours = sent(shop)
    shop.commit(changes.revoked("anna_shop", named(shop, ours), NOON))
    shown = shop.get(f"/api/messages/{ours}").get_json()
    assert (shown["text"], shown["revoked_at"]) == (None, "2026-03-01T12:00:00.000Z")
    answer = post(shop, {"kind": "reaction", "reaction": {"message": ours, "emoji": "👍"}})
    assert (answer.status_code, error_code(answer)) == (409, "message_revoked")


def test_a_repeat_is_known_also_when_what_it_names_has_changed_since(shop: World) -> None:
    ours = sent(shop)
    body = {"kind": "edit", "edit": {"message": ours, "text": "new"}}
    key = {"Idempotency-Key": "edit-1"}
    first = post(shop, body, **key)
    shop.clock.advance(16 * 60)
    again = post(shop, body, **key)
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (202, "true")
    assert again.get_json()["message_id"] == first.get_json()["message_id"]
    other = post(shop, {"kind": "edit", "edit": {"message": ours, "text": "newer"}}, **key)
    assert (other.status_code, error_code(other)) == (409, "idempotency_mismatch")


def named(world: World, message_id: str) -> MessageRef:
    row = world.fields(outbox.row_path(message_id))
    return MessageRef(message_id, row["wa_message_id"], row["chat"], from_me=True)


def about(kind: str, message: str, **more: Any) -> dict[str, Any]:
    extra = {"reaction": {"emoji": "👍"}, "edit": {"text": "new"}}.get(kind, {})
    return {"kind": kind, kind: {"message": message} | extra | more}


@pytest.mark.parametrize("kind", ["reaction", "edit", "revoke", "forward", "quote"])
def test_a_message_that_cannot_be_referred_to_is_refused_by_name(shop: World, kind: str) -> None:
    shop.add_session("other", state="connected", code="connected")
    shop.add_session("hers", tenant="bert")
    waiting = accepted(shop, {"to": CHAT, "text": "waits"})["message_id"]
    elsewhere = shop.hear("anna_other", "WA1", NOON)
    hers = shop.hear("bert_hers", "WA2", NOON)
    reaction = accepted(shop, about("reaction", sent(shop)))["message_id"]
    shop.settle(reaction, state="sent", wa_message_id="WR")

    def refused(message: str) -> tuple[int, str]:
        body = {"text": "x", "quote": message} if kind == "quote" else about(kind, message)
        answer = post(shop, body | ({"to": CHAT} if kind in ("forward", "quote") else {}))
        return answer.status_code, error_code(answer)

    assert refused("m_" + "a" * 26) == (404, "message_not_found")
    assert refused("nonsense") == (404, "message_not_found")
    assert refused(hers) == (404, "message_not_found")
    assert refused(elsewhere) == (409, "message_of_another_session")
    assert refused(waiting) == (409, "message_not_sent")
    assert refused(reaction) == (409, "cannot_be_referred_to")


def test_only_our_own_lately_sent_texts_are_edited_or_deleted(shop: World) -> None:
    theirs = shop.hear("anna_shop", "WA1", NOON)
    by_phone = shop.hear("anna_shop", "WA2", NOON, from_me=True)
    place = accepted(shop, {"to": CHAT, "kind": "location", "location": PLACE})["message_id"]
    shop.settle(place, state="sent", wa_message_id="WP", **{"times.sent": NOON})
    fresh, older = sent(shop), sent(shop, **{"times.sent": NOON - timedelta(minutes=15, seconds=1)})
    ancient = sent(shop, **{"times.sent": LONG_AGO})

    def refusal(kind: str, message: str) -> str | None:
        answer = post(shop, about(kind, message))
        return None if answer.status_code == 202 else error_code(answer)

    edits = {one: refusal("edit", one) for one in (theirs, by_phone, place, fresh, older)}
    assert list(edits.values()) == ["cannot_edit", None, "cannot_edit", None, "edit_too_late"]
    revocations = {one: refusal("revoke", one) for one in (theirs, by_phone, place, older, ancient)}
    assert list(revocations.values()) == ["cannot_revoke", None, None, None, "revoke_too_late"]


def test_a_poll_is_not_forwarded(shop: World) -> None:
    poll = accepted(shop, {"to": CHAT, "kind": "poll", "poll": POLL})["message_id"]
    shop.settle(poll, state="sent", wa_message_id="WP")
    answer = post(shop, {"to": CHAT} | about("forward", poll))
    assert (answer.status_code, error_code(answer)) == (409, "cannot_forward")


def test_a_vote_goes_to_the_polls_chat_and_names_options_that_the_poll_has(shop: World) -> None:
    poll = accepted(shop, {"to": GROUP, "kind": "poll", "poll": POLL})["message_id"]
    shop.settle(poll, state="sent", wa_message_id="WP")
    text = sent(shop)
    vote = accepted(shop, {"kind": "vote", "vote": {"message": poll, "options": ["later"]}})
    assert (vote["chat"], vote["text"], vote["vote"]["options"]) == (GROUP, "later", ["later"])

    def refused(message: str, *options: str) -> tuple[int, str]:
        answer = post(shop, {"kind": "vote", "vote": {"message": message, "options": options}})
        return answer.status_code, error_code(answer)

    assert refused(poll, "never") == refused(poll, "now", "later") == refused(poll, "now", "now") == (400, "bad_vote")
    assert refused(text, "now") == (409, "not_a_poll")
    assert accepted(shop, {"kind": "vote", "vote": {"message": poll, "options": []}})["text"] is None


@pytest.mark.parametrize(
    ("body", "status", "code", "names"),
    [
        ({"to": CHAT, "kind": "location"}, 400, "missing_field", "'location'"),
        ({"to": CHAT, "kind": "location", "location": {"latitude": 1}}, 400, "missing_field", "'location.longitude'"),
        ({"to": CHAT, "kind": "location", "location": PLACE | {"zoom": 1}}, 400, "unknown_field", "'location.zoom'"),
        ({"to": CHAT, "kind": "location", "location": PLACE | {"latitude": 91}}, 400, "bad_location", "latitude"),
        ({"to": CHAT, "kind": "poll", "poll": POLL | {"options": "now"}}, 400, "bad_field", "'poll.options'"),
        ({"to": CHAT, "kind": "poll", "poll": POLL | {"options": ["now"]}}, 400, "bad_poll", "poll.options"),
        ({"to": CHAT, "kind": "contact", "contacts": []}, 400, "bad_contact", "contacts"),
        ({"to": CHAT, "kind": "contact", "contacts": [{"name": "A"}]}, 400, "bad_contact", "contacts.0"),
        ({"to": CHAT, "kind": "contact", "contacts": [{"name": "A", "phones": ["12"]}]}, 400, "bad_number", "12"),
        (
            {"to": CHAT, "kind": "contact", "contacts": [{"name": "A", "phones": ["5544332211@lid"]}]},
            400,
            "bad_contact",
            "LID",
        ),
        ({"to": CHAT, "text": "x", "mentions": ["@all"]}, 400, "bad_number", "@all"),
        ({"to": CHAT, "text": "x", "location": PLACE}, 400, "unknown_field", "'location'"),
        ({"to": CHAT} | about("reaction", "m_" + "a" * 26), 400, "unknown_field", "'to'"),
        (about("reaction", "m_" + "a" * 26, emoji="yes"), 400, "bad_reaction", "reaction.emoji"),
        (about("forward", "m_" + "a" * 26), 400, "missing_field", "'to'"),
        ({"to": "status@broadcast", "kind": "poll", "poll": POLL}, 400, "not_for_status", "status"),
        ({"to": CHAT, "kind": "movie", "movie": {}}, 400, "unsupported_kind", "movie"),
    ],
)
def test_a_wrong_message_is_refused_with_the_name_of_what_is_wrong(
    shop: World, body: dict[str, Any], status: int, code: str, names: str
) -> None:
    before = shop.store.commits
    answer = post(shop, body)
    assert (answer.status_code, error_code(answer)) == (status, code)
    error = answer.get_json()["error"]
    assert names in error["message"] + error["hint"]
    assert shop.store.commits == before


def test_the_messages_of_a_group_are_listed(shop: World) -> None:
    shop.hear("anna_shop", "WA1", NOON, chat=GROUP)
    accepted(shop, {"to": GROUP, "text": "hello all"})
    page = shop.get(f"/api/messages?session_id=shop&chat={GROUP}").get_json()
    assert {one["text"] for one in page["messages"]} == {"text of WA1", "hello all"}


def test_a_field_that_is_null_is_as_if_it_were_not_there(shop: World) -> None:
    nothing = {"kind": None, "mentions": None, "preview": None, "quote": None, "send_at": None, "priority": None}
    message = accepted(shop, {"to": CHAT, "text": "hello"} | nothing)
    assert (message["kind"], message["send_at"], message["priority"]) == ("text", None, "normal")
    assert not {"mentions", "preview", "quote"} & set(message)


def test_degrees_are_numbers_and_no_text(shop: World) -> None:
    for latitude in ("48.2", True, None):
        answer = post(shop, {"to": CHAT, "kind": "location", "location": PLACE | {"latitude": latitude}})
        assert (answer.status_code, error_code(answer)) == (400, "bad_field")
