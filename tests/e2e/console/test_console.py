"""What a person does in the console, in a real browser: link, read, send, see what breaks, put it right, leave."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from keepline_local.stack import Stack

from ..keepline import Api, Http, Phones, eventually
from .browser import PHONE, Watched, findings, too_wide

TOLD_WITHIN_S = 5.0
# Silence is not told at once: a quiet connection is asked after some seconds, its answer waited for, and the page asks every 2 s.
SILENCE_TOLD_WITHIN_S = 15.0
SHARED = "console"


# The next message is refused for good.
REFUSED = {"kind": "ack_error", "code": 479, "when": {"count": 1}}


def bubble(page: Page, text: str) -> Locator:
    return page.locator(".bubble", has_text=text)


def open_chat(console: Watched, friend: str) -> Page:
    return console.open(f"chats/{SHARED}/{friend}@s.whatsapp.net")


def send(page: Page, text: str) -> Locator:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()
    return bubble(page, text)


def test_link_a_number_and_its_standby_in_one_flow(console: Watched, page: Page) -> None:
    console.open("link")
    page.get_by_label("Name").fill("linked-here")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("is linked")).to_be_visible()  # the demo's phone scans by itself
    page.get_by_role("button", name="Link a standby").click()
    expect(page.get_by_role("heading", name="All is done")).to_be_visible(timeout=60_000)
    page.get_by_role("main").get_by_role("link", name="Overview").click()
    card = page.locator("[data-session=linked-here]")
    expect(card).to_have_attribute("data-state", "connected")
    # Deleting asks first, and the card goes.
    card.get_by_role("button", name="Delete linked-here").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(card).to_have_count(0)


def test_a_code_is_shown_while_nobody_scans(console: Watched, page: Page, api: Api, number: Callable[[], str]) -> None:
    number()
    page.route("**/api/qr/me/waits*format=json", lambda route: route.fulfill(json={"qr": "x", "expires_in_s": 19.0}))
    page.route("**/api/qr/me/waits*format=png", lambda route: route.fulfill(body=b"", content_type="image/png"))
    waiting = api.status(SHARED) | {"session_id": "waits", "phone": None, "state": "pairing"}
    waiting["devices"] = [waiting["devices"][0] | {"slot": "a", "state": "pairing"}]
    page.route("**/api/sessions/waits/status", lambda route: route.fulfill(json=waiting))
    console.open("link/waits")
    expect(page.get_by_alt_text("QR code to scan with WhatsApp")).to_be_attached()
    expect(page.get_by_text("The next code comes in")).to_be_visible()
    # Once the codes have run out nobody asks for more until a person does.
    waiting["state"], waiting["devices"][0]["state"] = "stopped", "stopped"
    expect(page.get_by_role("button", name="Show a new code")).to_be_visible()


def test_a_message_is_sent_and_seen_delivered_and_read(
    console: Watched, page: Page, phones: Phones, number: Callable[[], str]
) -> None:
    me, friend = number(), phones.new_number()
    console.open(f"chats/{SHARED}")
    page.get_by_role("button", name="New chat").click()
    page.get_by_label("To whom").fill(f"+{friend}")
    page.get_by_role("button", name="Open").click()
    sent = send(page, "Is the table by the window free?")
    expect(sent).to_have_attribute("data-state", "delivered")
    [shown] = eventually(lambda: phones.inbox(friend)["messages"], "the phone shows it")
    phones.call("POST", f"/phones/{friend}/receipts", json={"message_ids": [shown["id"]], "type": "read"})
    expect(sent).to_have_attribute("data-state", "read")
    expect(sent).to_contain_text("Read")
    # And the answer is there as it comes, in the chat and in the list.
    phones.write(friend, me, "It is. At seven?")
    expect(bubble(page, "It is. At seven?")).to_be_visible()
    expect(page.locator(".chat-list").get_by_text("It is. At seven?")).to_be_visible()
    page.get_by_role("button", name="Mark as read").click()
    eventually(
        lambda: phones.json("GET", f"/phones/{friend}/receipts")["receipts"], "the friend is told that it was read"
    )


def test_a_file_is_sent(console: Watched, page: Page, phones: Phones, number: Callable[[], str]) -> None:
    number()
    friend = phones.new_number()
    open_chat(console, friend)
    bill = {
        "name": "bill.pdf",
        "mimeType": "application/pdf",
        "buffer": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n",
    }
    page.locator("input[type=file]").set_input_files([bill])  # type: ignore[list-item]
    sent = send(page, "Your bill")
    expect(sent).to_have_attribute("data-state", "delivered")
    expect(sent).to_contain_text("bill.pdf")
    assert [one["kind"] for one in phones.inbox(friend)["messages"]] == ["document"]


@pytest.mark.usefixtures("healthy")
def test_a_broken_connection_shows_within_5_seconds_and_heals(
    console: Watched, page: Page, phones: Phones, number: Callable[[], str]
) -> None:
    phone = number()
    console.open("overview")
    card = page.locator(f"[data-session={SHARED}]")
    expect(card).to_have_attribute("data-state", "connected")
    phones.json("POST", "/faults", 201, json={"kind": "login_failure", "code": 503, "target": {"number": phone}})
    phones.json("POST", "/connections/drop", json={"number": phone})
    broken_at = time.monotonic()
    expect(card).not_to_have_attribute("data-state", "connected", timeout=TOLD_WITHIN_S * 1000)
    assert time.monotonic() - broken_at < TOLD_WITHIN_S
    expect(card.get_by_text("Reconnecting").first).to_be_visible()
    expect(card.get_by_role("button", name="Try now")).to_be_visible()
    phones.call("DELETE", "/faults")
    expect(card).to_have_attribute("data-state", "connected")


@pytest.mark.usefixtures("healthy")
def test_a_connection_that_falls_silent_shows_by_itself(
    console: Watched, page: Page, phones: Phones, number: Callable[[], str]
) -> None:
    phone = number()
    console.open(f"overview/{SHARED}")
    card = page.locator(f"[data-session={SHARED}]")
    expect(card).to_have_attribute("data-state", "connected")
    phones.json("POST", "/faults", 201, json={"kind": "half_open", "target": {"number": phone}})
    expect(card).not_to_have_attribute("data-state", "connected", timeout=SILENCE_TOLD_WITHIN_S * 1000)


@pytest.mark.usefixtures("healthy")
def test_a_dead_letter_is_replayed(console: Watched, page: Page, phones: Phones, number: Callable[[], str]) -> None:
    number()
    friend = phones.new_number()
    open_chat(console, friend)
    phones.json("POST", "/faults", 201, json=REFUSED)
    sent = send(page, "Refused at first")
    expect(sent).to_have_attribute("data-state", "failed")
    expect(sent.get_by_role("button", name="Replay")).to_be_visible()  # beside what went wrong and what to do
    console.open(f"queue/{SHARED}?view=dead")
    row = page.get_by_role("row", name="Refused at first")
    expect(row).to_contain_text("wa_479")
    row.get_by_role("button", name="Replay").click()
    expect(row).to_have_count(0)  # it is no dead letter any more
    page.get_by_role("tab", name="Sent").click()
    expect(page.get_by_role("row", name="Refused at first")).to_contain_text("Delivered")
    assert phones.texts(friend) == ["Refused at first"]


def test_a_message_that_waits_is_cancelled(
    console: Watched, page: Page, api: Api, phones: Phones, number: Callable[[], str]
) -> None:
    number()
    later = {"session_id": SHARED, "to": phones.new_number(), "text": "Not before next year", "send_at": _in_a_week()}
    api.json("POST", "/api/messages/send", 202, json=later)
    console.open(f"queue/{SHARED}")
    row = page.get_by_role("row", name="Not before next year")
    expect(row).to_contain_text("Scheduled")
    row.get_by_role("button", name="Cancel it").click()
    expect(row).to_have_count(0)
    page.get_by_role("tab", name="Expired and cancelled").click()
    expect(page.get_by_role("row", name="Not before next year")).to_contain_text("Cancelled")


def _in_a_week() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7 * 86_400))


# Signing in and out


def test_the_key_is_taken_out_of_the_address(console: Watched, page: Page, stack: Stack) -> None:
    assert stack.run.api_key not in page.url
    assert stack.run.api_key not in page.evaluate("Object.values(localStorage).join()")
    page.go_back()
    assert stack.run.api_key not in page.url


def test_a_key_that_is_not_good_is_told_in_the_apis_words(visitor: Watched) -> None:
    page = visitor.open("")
    page.get_by_label("API key").fill("kl_not_a_key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("bad_api_key")
    assert page.evaluate("sessionStorage.length") == 0


def test_signing_out_leaves_nothing_behind(console: Watched, page: Page, number: Callable[[], str]) -> None:
    number()
    console.open(f"chats/{SHARED}")
    expect(page.locator(".chat-list")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    # Firebase's library notes there on which days it was used, and nothing of anybody.
    stored = page.evaluate("indexedDB.databases().then((all) => all.map((one) => one.name))")
    assert set(stored) <= {"firebase-heartbeat-database"}
    page.go_back()
    expect(page.get_by_label("API key")).to_be_visible()
    expect(page.get_by_role("navigation", name="Pages")).to_have_count(0)


def test_in_the_cloud_people_sign_in_through_firebase_and_nothing_else_is_asked(visitor: Watched, api: Api) -> None:
    """Against stand-ins for Firebase's sign-in; the policy of firebase.json is in force, and the page asks nobody else."""
    page, asked = visitor.page, []
    token = _unsigned({"sub": "u1", "iat": 1_700_000_000, "auth_time": 1_700_000_000, "exp": 4_102_444_800})
    answers = {
        "accounts:signInWithPassword": {"localId": "u1", "idToken": token, "refreshToken": "r", "expiresIn": "3600"},
        "accounts:lookup": {"users": [{"localId": "u1", "email": "ada@example.com"}]},
    }

    def firebase(route: Route) -> None:
        call = route.request.url.rpartition("/v1/")[2].partition("?")[0]
        allowed = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        if route.request.method != "OPTIONS":
            asked.append(call)
        route.fulfill(json=answers.get(call, {}), headers=allowed)

    page.route("https://identitytoolkit.googleapis.com/**", firebase)
    page.route("**/console.json", lambda route: route.fulfill(json={"sign_in": "firebase"}))
    page.route(
        "**/__/firebase/init.json", lambda route: route.fulfill(json={"apiKey": "k", "projectId": "p", "appId": "a"})
    )
    page.route(
        "**/api/sessions",
        lambda route: route.fulfill(json={"sessions": []}) if _bearer(route, token) else route.abort(),
    )
    visitor.open("")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password", exact=True).fill("correct horse")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("No number yet")).to_be_visible()
    expect(page.get_by_text("ada@example.com").first).to_be_visible()
    assert set(asked) == set(answers), asked
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("E-mail")).to_be_visible()


def _unsigned(claims: dict[str, object]) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def _bearer(route: Route, token: str) -> bool:
    return route.request.headers.get("authorization") == f"Bearer {token}"


# For everybody, everywhere

PAGES = ["overview", f"overview/{SHARED}", "link", f"chats/{SHARED}", f"queue/{SHARED}", "no-such-page"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_finding_of_axe(
    console: Watched, page: Page, phones: Phones, number: Callable[[], str], scheme: str
) -> None:
    friend = phones.new_number()
    phones.write(friend, number(), "Hello")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for address in [*PAGES, f"chats/{SHARED}/{friend}@s.whatsapp.net"]:
        console.open(address)
        settled(page)
        assert findings(page) == [], address
    console.open(f"chats/{SHARED}")
    page.get_by_role("button", name="New chat").click()
    assert findings(page) == [], "a dialog"


def test_the_page_that_signs_in_has_no_serious_finding_of_axe(visitor: Watched) -> None:
    page = visitor.open("")
    expect(page.get_by_label("API key")).to_be_visible()
    assert findings(page) == []


def test_every_page_fits_a_phone(console: Watched, page: Page, number: Callable[[], str]) -> None:
    number()
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for address in PAGES:
        console.open(address)
        settled(page)
        assert too_wide(page) <= 0, address
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("dialog", name="Menu").get_by_role("link", name="Chats").click()
    expect(page.get_by_role("heading", name="Chats", level=1)).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def settled(page: Page) -> None:
    expect(page.locator(".inside > *").first).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)


def test_the_keyboard_is_enough(console: Watched, page: Page, number: Callable[[], str]) -> None:
    number()
    console.open(f"chats/{SHARED}")
    settled(page)
    page.reload()
    settled(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    opener = page.get_by_role("button", name="New chat")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("To whom")).to_be_focused()
    for _ in range(8):  # more than the dialog has to stop at; the focus never reaches the page behind
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))"
        )
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()


def test_it_speaks_romanian(console: Watched, page: Page) -> None:
    page.get_by_label("Language").first.select_option("ro")
    expect(page.get_by_role("heading", name="Sumar")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "ro"
    page.reload()
    expect(page.get_by_role("button", name="Ieșire")).to_be_visible()


def test_it_says_when_the_network_is_away_and_goes_on_when_it_is_back(
    console: Watched, page: Page, phones: Phones, number: Callable[[], str]
) -> None:
    me, friend = number(), phones.new_number()
    open_chat(console, friend)
    settled(page)
    page.context.set_offline(True)
    expect(page.get_by_text("This device is offline")).to_be_visible()
    phones.write(friend, me, "Are you there?")
    page.context.set_offline(False)
    expect(bubble(page, "Are you there?")).to_be_visible()
    expect(page.get_by_text("This device is offline")).to_have_count(0)
    # Whatever failed on the way was the network's.
    console.errors.clear()


def test_what_the_api_refuses_is_told_with_its_code_and_what_to_do(console: Watched, page: Page) -> None:
    console.open("overview/no-such-session")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("session_not_found")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()


def test_a_number_that_is_not_there_leads_to_those_that_are(
    console: Watched, page: Page, number: Callable[[], str]
) -> None:
    number()
    console.open("queue/no-such-session")
    expect(page.get_by_text("Choose another one.")).to_be_visible()
    page.get_by_label("Number").select_option(SHARED)
    expect(page.get_by_role("tab", name="Waiting")).to_be_visible()


def test_no_api_key_gets_into_firestore(stack: Stack, console: Watched, page: Page) -> None:
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    owner = Http(f"http://{stack.run.firestore}", {"Authorization": "Bearer owner"})
    documents = f"/v1/projects/{stack.run.project}/databases/(default)/documents"
    found = owner.json("POST", f"{documents}:listCollectionIds", json={})["collectionIds"]
    for collection in found:
        assert stack.run.api_key not in owner.call("GET", f"{documents}/{collection}?pageSize=300").text, collection
