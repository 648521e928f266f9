"""The console's pages of setting up and watching, in a real browser: each does what it says, for everybody, on any screen."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from keepline_local.stack import Stack

from ..keepline import Api, eventually
from . import answers
from .browser import PHONE, Watched, findings, too_wide
from .test_console import SHARED, settled

TOLD_WITHIN_S = 5.0
# After a fault that lasts for some tries the next one may be a minute away.
HEALED_WITHIN_S = 90.0


class Receiver:
    """A program that takes webhooks in; `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.calls = 0
        receiver = self

        class Takes(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.calls += 1
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is said about it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Takes)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def test_a_webhook_is_added_tested_and_deleted_and_its_secret_is_shown_once(
    console: Watched, page: Page, receiver: Receiver
) -> None:
    console.open("webhooks")
    page.get_by_role("button", name="Add a webhook").click()
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_role("button", name="Save").click()
    secret = page.locator(".copyable code")
    expect(secret).to_contain_text("whsec_")
    shown = secret.inner_text()
    page.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_text(shown)).to_have_count(0)
    page.get_by_role("link", name=receiver.url).click()
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_text("It answered 200")).to_be_visible()
    assert receiver.calls == 1
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Webhooks", level=1)).to_be_visible()
    expect(page.get_by_role("link", name=receiver.url)).to_have_count(0)


def test_deliveries_that_were_given_up_are_replayed_one_and_a_time_of_them(console: Watched, page: Page) -> None:
    """Giving up takes a day, so the log is told here; what is asked of the API is looked at."""
    hook = answers.webhook()
    asked: list[object] = []
    page.route("**/api/webhooks/wh1", lambda route: route.fulfill(json=hook))
    page.route("**/api/webhooks/wh1/deliveries*", lambda route: route.fulfill(json=answers.deliveries()))

    def replayed(route: Route) -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(status=202, json={"replayed": 1})

    page.route("**/api/webhooks/wh1/replay", replayed)
    console.open("webhooks/wh1")
    expect(page.get_by_text("answered 500").first).to_be_visible()
    page.get_by_role("button", name="Replay", exact=True).first.click()
    expect(page.get_by_text("1 delivery is on its way again.").first).to_be_visible()
    page.get_by_role("button", name="Replay a time").click()
    page.get_by_label("From").fill("2026-01-01T00:00")
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert asked == [{"events": ["evt_b"]}, {"events": ["evt_a", "evt_b"]}]  # of a time the oldest first


def test_a_key_is_made_shown_once_and_revoked(
    console: Watched, page: Page, stack: Stack, number: Callable[[], str]
) -> None:
    number()
    console.open("keys")
    page.get_by_role("button", name="Make a key").click()
    page.get_by_label("Name").fill("The till of the test")
    page.get_by_label("Sessions", exact=True).select_option("some")
    page.get_by_label(SHARED, exact=True).check()
    page.get_by_role("button", name="Make the key").click()
    shown = page.locator(".copyable code")
    expect(shown).to_contain_text("kl_")
    till = Api(stack.run.api, shown.inner_text())
    assert till.status(SHARED)["session_id"] == SHARED
    page.get_by_role("button", name="I have kept it").click()
    row = page.get_by_role("row", name="The till of the test")
    expect(row).to_contain_text(SHARED)
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    eventually(lambda: till.call("GET", f"/api/sessions/{SHARED}/status").status_code == 401, "the key is refused")


def test_limits_show_what_is_left(console: Watched, page: Page, number: Callable[[], str]) -> None:
    number()
    console.open("limits")
    expect(page.get_by_role("meter", name="Yours")).to_be_visible()
    expect(page.get_by_role("row", name="Messages")).to_contain_text("left")


def test_a_connector_is_drained_and_taken_back(
    console: Watched, page: Page, api: Api, number: Callable[[], str]
) -> None:
    number()
    console.open("connectors")
    card = page.locator(".card", has=page.get_by_role("heading", name="connector-2"))
    expect(card).to_contain_text("Alive")
    card.get_by_role("button", name="Drain").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    expect(card).to_contain_text("Being drained")
    card.get_by_role("button", name="Take back into use").click()
    expect(card).to_contain_text("Alive")
    assert not any(one["draining"] for one in api.json("GET", "/api/connectors")["connectors"])


@pytest.mark.usefixtures("healthy")
def test_the_chaos_corner_breaks_a_connection_and_tells_of_it_within_5_seconds(
    console: Watched, page: Page, number: Callable[[], str]
) -> None:
    number()
    console.open("chaos")
    page.get_by_label("Number").select_option(SHARED)
    watch = page.locator(".card", has=page.get_by_role("heading", name="What Keepline says"))
    expect(watch.locator("header")).to_contain_text("Connected")
    page.locator(".fault", has_text="WhatsApp is away").get_by_role("button").click()
    expect(watch.locator("header")).not_to_contain_text("Connected", timeout=TOLD_WITHIN_S * 1000)
    expect(watch.locator("header")).to_contain_text("Connected", timeout=HEALED_WITHIN_S * 1000)
    expect(watch.locator(".course li")).not_to_have_count(1)  # the changes stay to be read


def test_outside_the_demo_there_is_no_chaos_corner(visitor: Watched, stack: Stack) -> None:
    page = visitor.page
    without = {"sign_in": "key", "project": stack.run.project, "user_id": stack.run.user_id}
    page.route("**/console.json", lambda route: route.fulfill(json=without))
    page.goto(f"{stack.run.console}/#key={stack.run.api_key}")
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    expect(page.get_by_role("link", name="Chaos corner")).to_have_count(0)
    visitor.open("chaos")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


PAGES = [
    *("webhooks", "webhooks/wh1", "keys", "limits", "connectors", "chaos", "events"),
    *("alerts", "alerts/closed", "alerts/channels", "alerts/settings"),
    *("reports", "reports/2026-11-21", "uptime", "uptime/api"),
]


def told(page: Page) -> None:
    """Pages of the past are given one, so that everything that they can show is there."""
    for pattern, answer in answers.PAST.items():
        page.route(pattern, answering(answer))


def answering(answer: object) -> Callable[[Route], None]:
    return lambda route: route.fulfill(json=answer)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_none_of_these_pages_has_a_serious_finding_of_axe(
    console: Watched, page: Page, number: Callable[[], str], scheme: str
) -> None:
    number()
    told(page)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for address in PAGES:
        console.open(address)
        settled(page)
        assert findings(page) == [], address


def test_all_of_these_pages_fit_a_phone(console: Watched, page: Page, number: Callable[[], str]) -> None:
    number()
    told(page)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for address in PAGES:
        console.open(address)
        settled(page)
        assert too_wide(page) <= 0, address


def test_every_chart_has_its_figures_as_a_table(console: Watched, page: Page) -> None:
    told(page)
    for address in ("reports/2026-11-21", "uptime/api", "reports"):
        console.open(address)
        settled(page)
        expect(page.locator(".chart .u-wrap").first).to_be_visible()
        charts = page.locator(".chart, .day-bars")
        tables = page.get_by_text("As a table")
        assert tables.count() == charts.count() > 0
        tables.first.click()
        expect(page.locator("details table tbody tr").first).to_be_visible()


def test_the_figures_of_a_report_are_those_of_the_api(console: Watched, page: Page) -> None:
    told(page)
    console.open("reports/2026-11-21")
    figures = page.locator(".figures")
    for name, value in (("Accepted", "1,240"), ("Sent", "1,229"), ("Failed", "4"), ("Uptime", "99.921 %")):
        expect(figures.locator(".figure", has_text=name).locator(".numbers").first).to_have_text(value)


def test_a_day_with_an_outage_is_never_green(console: Watched, page: Page) -> None:
    told(page)
    console.open("uptime/api")
    bars = page.locator(".day-bars span")
    for day, look in ((59, "tone-good"), (60, "tone-warn"), (40, "tone-bad"), (0, "")):
        expect(bars.nth(day)).to_have_class(look)


def test_a_target_that_is_down_stands_first_and_says_why(console: Watched, page: Page) -> None:
    told(page)
    console.open("uptime")
    expect(page.get_by_text("1 target does not answer.")).to_be_visible()
    expect(page.locator(".card h2").first).to_have_text("Online shop")
    expect(page.locator(".card").first).to_contain_text("It did not answer in time.")
