"""Apprise: one library for mail, chats and SMS. Its calls block, so they run in threads of their own, a few at a time.

Apprise dials by itself, through requests and smtplib. Which address it may dial is judged where every connection of Python
passes: an audit hook of the interpreter (PEP 578) sees the numeric address that is about to be dialled, whatever name or redirect
led there. It judges only the threads that tell somebody.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from keepline.domain.link_settings import is_public
from keepline.ports.notifying import Telling

if TYPE_CHECKING:
    import apprise

TOTAL_TIMEOUT_S = 20.0
# Apprise's own, for each connection and each answer of a service.
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 10.0
THREADS_MAX = 4

log = logging.getLogger(__name__)


class _Judged(threading.local):
    """Of a thread that tells somebody: whether only public addresses may be dialled, and whether one was refused."""

    public_only = False
    refused = False


_judged = _Judged()
_hooked = threading.Event()
_hooking = threading.Lock()


class _AddressNotAllowed(OSError):
    """Libraries take it for a connection that failed."""


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not _judged.public_only:
        return
    address = arguments[1]
    try:
        host = ip_address(str(address[0]).partition("%")[0]) if isinstance(address, tuple) else None
    except ValueError:
        host = None  # A name, or a path on this machine: nobody dials these but by mistake.
    if host is None or not is_public(host):
        _judged.refused = True
        raise _AddressNotAllowed("this address may not be dialled")


def _hook() -> None:
    # A hook stays for the life of the process, so there is one for all.
    with _hooking:
        if not _hooked.is_set():
            sys.addaudithook(_look)
            _hooked.set()


class AppriseNotifier:
    """`private_allowed`: also addresses that are not public, for an installation that has its mail server beside it."""

    def __init__(self, *, private_allowed: bool, timeout_s: float = TOTAL_TIMEOUT_S) -> None:
        self._public_only = not private_allowed
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(THREADS_MAX, "notifier")
        # It names the hosts of its users' addresses; what failed is told by our own words.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        _hook()

    async def knows(self, url: str) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _instance, url) is not None

    async def tell(self, url: str, title: str, text: str, html: str | None = None) -> Telling:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                telling = asyncio.get_running_loop().run_in_executor(self._threads, self._tell, url, title, text, html)
                error = await telling
        except TimeoutError:
            error = "timeout"
        return Telling(error, round((time.monotonic() - began_s) * 1000))

    def _tell(self, url: str, title: str, text: str, html: str | None) -> str | None:
        import apprise  # As in `_instance`.
        from apprise.plugins.email import NotifyEmail

        instance = _instance(url)
        if instance is None:
            return "bad_address"
        _judged.public_only, _judged.refused = self._public_only, False
        try:
            if html is not None and isinstance(instance, NotifyEmail):
                taken = instance.notify(body=html, title=title, body_format=apprise.NotifyFormat.HTML)
            else:
                taken = instance.notify(body=text, title=title)
        except Exception as error:  # noqa: BLE001  # Whatever a service's part of the library does: its words may have the address.
            log.warning("a channel of alerts failed with %s", type(error).__name__)
            taken = False
        finally:
            _judged.public_only = False
        if taken:
            return None
        return "address_not_allowed" if _judged.refused else "not_taken"


def _instance(url: str) -> apprise.NotifyBase | None:
    import apprise  # It loads a module for each of its ways, which a request that tells nobody need not wait for.

    # Nothing of a user's address may be written to this machine's disk or to the log.
    asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY, secure_logging=True)
    joiner = "&" if "?" in url else "?"
    limits = f"cto={CONNECT_TIMEOUT_S:g}&rto={READ_TIMEOUT_S:g}"
    found: apprise.NotifyBase | None = apprise.Apprise.instantiate(f"{url}{joiner}{limits}", asset=asset)
    return found
