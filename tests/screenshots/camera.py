"""The pictures themselves: which pages, on which screens, small enough for a repository."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from keepline_local.run_file import Run

DESKTOP = (1280, 800)
PHONE = (390, 844)
# Of a palette each: these are flat colours, and nobody sees the difference.
COLOURS = 128
KIB = 1024
PICTURE_KIB_MAX = 150
ALL_KIB_MAX = 3 * 1024
LOAD_MS = 15_000


def _nothing(_: Page) -> None:
    """The page as it comes."""


@dataclass(frozen=True)
class Shot:
    """A page by its address behind `#`, and what is done there before the picture."""

    name: str
    address: str
    before: Callable[[Page], None] = _nothing


def _first_link(selector: str) -> Callable[[Page], None]:
    def follow(page: Page) -> None:
        page.locator(selector).first.click()
        page.wait_for_timeout(300)

    return follow


SHOTS = (
    Shot("overview", "/overview"),
    Shot("link", "/link"),
    Shot("chats", "/chats/shop/14155550301@s.whatsapp.net"),
    Shot("queue", "/queue/bookings?view=dead"),
    Shot("alerts", "/alerts"),
    Shot("alert-channels", "/alerts/channels"),
    Shot("alert-settings", "/alerts/settings"),
    Shot("events", "/events"),
    Shot("reports", "/reports"),
    Shot("report", "/reports", _first_link("main table a")),
    Shot("webhooks", "/webhooks"),
    Shot("webhook", "/webhooks", _first_link("main table a[href*=webhooks]")),
    Shot("keys", "/keys"),
    Shot("limits", "/limits"),
    Shot("connectors", "/connectors"),
    Shot("uptime", "/uptime"),
    Shot("uptime-target", "/uptime", _first_link("main .card h2 a")),
    Shot("chaos", "/chaos"),
)
# Every page on both screens in light, and these in the dark as well.
IN_THE_DARK = frozenset({"overview", "chats", "alerts", "uptime", "report", "chaos"})


class Camera:
    """Takes the pictures of one run into a folder."""

    def __init__(self, browser: Browser, run: Run, folder: Path) -> None:
        self._browser = browser
        self._run = run
        self._folder = folder
        self._sizes: dict[str, int] = {}

    def take_all(self, only: list[str] | None = None) -> None:
        """Every page, or those that are named."""
        self._folder.mkdir(parents=True, exist_ok=True)
        shots = [shot for shot in SHOTS if not only or shot.name in only]
        for screen, size in (("desktop", DESKTOP), ("phone", PHONE)):
            self._with_screen(screen, size, "light", shots)
        self._with_screen("desktop", DESKTOP, "dark", [shot for shot in shots if shot.name in IN_THE_DARK])

    def sum_up(self) -> int:
        """A list of what was taken; 1 if it is too large."""
        for name, size in self._sizes.items():
            print(f"{size / KIB:7.1f} KiB  {name}{'  TOO LARGE' if size > PICTURE_KIB_MAX * KIB else ''}")
        total = sum(self._sizes.values())
        print(f"{total / KIB:7.1f} KiB  {len(self._sizes)} pictures in {self._folder}")
        return int(total > ALL_KIB_MAX * KIB or any(size > PICTURE_KIB_MAX * KIB for size in self._sizes.values()))

    def _with_screen(self, screen: str, size: tuple[int, int], scheme: str, shots: list[Shot]) -> None:
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            locale="en-GB",
            reduced_motion="reduce",
            has_touch=screen == "phone",
        )
        page = context.new_page()
        page.set_default_timeout(LOAD_MS)
        page.goto(f"{self._run.console}/#key={self._run.api_key}")
        page.locator("[data-page-title]").wait_for()
        for shot in shots:
            page.evaluate("address => { location.hash = address }", shot.address)
            self._settle(page)
            shot.before(page)
            self._settle(page)
            suffix = "-dark" if scheme == "dark" else ""
            self._keep(f"{shot.name}-{screen}{suffix}.png", page.screenshot())
        context.close()

    def _settle(self, page: Page) -> None:
        """Until the page shows what it has to say."""
        page.wait_for_timeout(400)  # its first requests are on their way
        page.locator(".skeleton, .spinner").first.wait_for(state="detached")
        page.wait_for_timeout(300)  # charts take their width when they are drawn
        page.evaluate("document.activeElement.blur()")

    def _keep(self, name: str, png: bytes) -> None:
        picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        out = io.BytesIO()
        picture.save(out, "PNG", optimize=True)
        (self._folder / name).write_bytes(out.getvalue())
        self._sizes[name] = out.tell()
