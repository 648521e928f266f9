"""One browser for the tests of this folder, in front of the run that all of this ring have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from keepline_local.stack import Stack

from ..keepline import Api, Phones, eventually
from .browser import WIDE, Watched, chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # Ended with this folder: while it is open, an event loop runs in this thread.
    with chromium() as opened:
        yield opened


@pytest.fixture
def visitor(browser: Browser, stack: Stack) -> Iterator[Watched]:
    """Somebody who is not signed in. At the end: no request went elsewhere, and no error was nobody's."""
    context = browser.new_context(viewport=WIDE, locale="en-GB", reduced_motion="reduce")
    watched = Watched(context, stack.run.console)
    try:
        yield watched
        assert watched.elsewhere == []
        assert watched.errors == []
    finally:
        context.close()


@pytest.fixture
def console(visitor: Watched, stack: Stack) -> Watched:
    """The console, signed in by the link that `make demo` prints."""
    visitor.page.goto(f"{stack.run.console}/#key={stack.run.api_key}")
    expect(visitor.page.get_by_role("navigation", name="Pages")).to_be_visible()
    return visitor


@pytest.fixture
def page(console: Watched) -> Page:
    return console.page


@pytest.fixture(scope="package")
def number(api: Api) -> Callable[[], str]:
    """The phone number of the session `console`, which the tests of this folder share."""
    api.create("console")
    api.wait_for_state("console", "connected")
    # The answer is put together of several documents; the account's can be a moment older than its device's.
    phone: str = eventually(lambda: api.status("console")["phone"], "the number is known")
    return lambda: phone


@pytest.fixture
def healthy(phones: Phones, api: Api) -> Iterator[None]:
    """Faults go with the test, and the session comes back before the next one."""
    yield
    phones.call("DELETE", "/faults")
    api.wait_for_state("console", "connected")
