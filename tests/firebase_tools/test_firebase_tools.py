"""The console as Firebase serves it: its own emulators of Hosting and Authentication in front of a whole Keepline.

The console is the one that is deployed, with the settings of the cloud: nothing in it knows of emulators. So what it asks of
Google's addresses is led to them by the browser: Authentication's requests are answered by the emulator, Firestore's name leads
to ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect

from keepline_functions import operators
from keepline_local.plan import PROJECT
from keepline_local.stack import NOBODY_RECOVERS, Stack
from tests.e2e.console.browser import WIDE, chromium
from tests.e2e.keepline import Http, eventually

from .emulators import COMMAND, Emulators
from .google_in_front import TlsInFront

pytestmark = [
    pytest.mark.skipif(
        not COMMAND.exists(),
        reason="firebase-tools is not installed: make test-firebase-tools does it (240 MB, from npm)",
    ),
    pytest.mark.timeout(300),  # Node reads 600 packages before it says a word.
]

FIRESTORE = "firestore.googleapis.com"
AUTHENTICATION = ("identitytoolkit.googleapis.com", "securetoken.googleapis.com")
PASSWORD = "correct horse battery staple"
SESSION = "annas"


class User(NamedTuple):
    """Somebody who can sign in."""

    id: str
    email: str
    token: str


class World(NamedTuple):
    emulators: Emulators
    stack: Stack
    browser: Browser


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("firebase")
    emulators = Emulators(folder, PROJECT)
    with Stack("demo", env=NOBODY_RECOVERS | {"FIREBASE_AUTH_EMULATOR_HOST": emulators.auth}) as stack:
        front = TlsInFront(FIRESTORE, stack.run.firestore, folder)
        try:
            emulators.start(stack.run.api)
            with chromium(f"--host-resolver-rules=MAP {FIRESTORE}:443 127.0.0.1:{front.port}") as browser:
                yield World(emulators, stack, browser)
        finally:
            emulators.stop()
            front.stop()


def new_user(world: World, name: str) -> User:
    """As Firebase's REST API makes one, with an e-mail address and a password."""
    email = f"{name}@example.com"
    url = f"http://{world.emulators.auth}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any"
    body = {"email": email, "password": PASSWORD, "returnSecureToken": True}
    made = requests.post(url, json=body, timeout=10).json()
    return User(made["localId"], email, made["idToken"])


def api_of(world: World, user: User) -> Http:
    """The API by way of hosting, asked with the user's token."""
    return Http(world.emulators.console, {"Authorization": f"Bearer {user.token}"})


@pytest.fixture
def page(world: World) -> Iterator[Page]:
    context = world.browser.new_context(viewport=WIDE, locale="en-GB", ignore_https_errors=True)
    context.set_default_timeout(30_000)
    elsewhere: list[str] = []

    def lead(route: Route) -> None:
        scheme, _, rest = route.request.url.partition("://")
        host, _, path = rest.partition("/")
        if host in AUTHENTICATION:
            route.fulfill(response=route.fetch(url=f"http://{world.emulators.auth}/{host}/{path}"))
        elif host == FIRESTORE or f"{scheme}://{host}" == world.emulators.console or scheme.startswith("blob"):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context.route("**/*", lead)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert elsewhere == []
    assert errors == []


def sign_in(page: Page, world: World, user: User, password: str = PASSWORD) -> None:
    page.goto(world.emulators.console)
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_hosting_serves_the_console_with_its_headers_and_the_api_behind_it(world: World) -> None:
    console = Http(world.emulators.console)
    assert console.json("GET", "/console.json") == {"sign_in": "firebase"}
    policy = console.call("GET", "/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    # Each rewrite of firebase.json leads to the function.
    assert console.call("GET", "/health").json()["status"] == "ok"
    assert console.json("GET", "/openapi.json")["openapi"].startswith("3.")
    assert console.call("GET", "/docs").status_code == 200
    assert console.refusal("GET", "/api/sessions") == (401, "unauthenticated")
    assert console.refusal("GET", "/diagnostics/none")[0] == 401


def test_somebody_signs_in_with_a_password_and_sees_their_own_numbers_live(world: World, page: Page) -> None:
    anna, bob = new_user(world, "anna"), new_user(world, "bob")
    api = api_of(world, anna)
    api.json("POST", "/api/sessions/create", 201, json={"session_id": SESSION})
    status = f"/api/sessions/{SESSION}/status"
    eventually(lambda: api.json("GET", status)["state"] == "connected", "the demo's phone has scanned")
    sign_in(page, world, anna)
    card = page.locator(f"[data-session={SESSION}]")
    expect(card).to_have_attribute("data-state", "connected")
    # What changes is seen without a question: a listener on Firestore, with this user's token and under the rules.
    api.json("POST", "/api/sessions/create", 201, json={"session_id": "later"})
    expect(page.locator("[data-session=later]")).to_have_attribute("data-state", "connected", timeout=60_000)
    assert api_of(world, bob).json("GET", "/api/sessions")["sessions"] == []


def test_a_wrong_password_is_refused_in_words(world: World, page: Page) -> None:
    sign_in(page, world, new_user(world, "carla"), "not the password")
    expect(page.get_by_role("alert")).to_contain_text("password")
    expect(page.get_by_label("Password")).to_be_visible()


def test_the_command_makes_an_operator_whom_the_api_and_the_console_know(
    world: World, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    olga = new_user(world, "olga")
    assert api_of(world, olga).refusal("GET", "/api/connectors")[0] == 403
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", world.emulators.auth)
    assert operators.main(["--project", PROJECT, "add", olga.email]) == 0
    sign_in(page, world, olga)
    page.get_by_role("link", name="Connectors").click()
    expect(page.get_by_role("main")).to_contain_text("connector-1")
    assert operators.main(["--project", PROJECT, "remove", olga.email]) == 0
    # Her tokens were revoked with it.
    assert api_of(world, olga).refusal("GET", "/api/sessions") == (401, "bad_token")
