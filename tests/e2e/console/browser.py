"""A real browser in front of the console, and what tests do in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

ROOT = Path(__file__).parents[3]
WAIT_MS = 30_000
# Chromium asks its makers for updates and the like by itself; none of that is the console's.
ARGUMENTS = [
    *(
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ),
    "--no-first-run",
]
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """The machine's Chromium, headless, with more arguments if given; `scripts/browser` says how to get one."""
    found = subprocess.run([str(ROOT / "scripts" / "browser")], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page and all that it asks for: nothing but the console's own address gets through, and what tries is written down."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.origin = origin
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        context.set_default_timeout(WAIT_MS)
        context.route("**/*", self._pass_own)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self._said(said.type, said.text))

    def _pass_own(self, route: Route) -> None:
        if route.request.url.startswith((self.origin + "/", "blob:")):
            route.fallback()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def _said(self, kind: str, text: str) -> None:
        # An answer that is an error is a line as well; what the page makes of it, the test sees.
        if kind == "error" and "Failed to load resource" not in text:
            self.errors.append(text)

    def open(self, address: str) -> Page:
        """Go to a page of the console, by what stands behind `#/`."""
        self.page.goto(f"{self.origin}/#/{address}")
        return self.page


def findings(page: Page) -> list[str]:
    """What axe finds serious or critical on the page as it is."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{one['impact']}: {one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def too_wide(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return width
