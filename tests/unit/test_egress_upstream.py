"""Upstream proxies: HTTP and SOCKS5, with credentials that nobody sees."""

from __future__ import annotations

import logging
import socket

import pytest

from keepline_connector.cell import egress as egress_module
from keepline_connector.cell.egress import Egress
from tests.unit.egress_support import FarEnd, HttpProxy, SocksProxy, dial, open_exit

SECRET = "p@ss/w:rd"
IN_A_URL = "p%40ss%2Fw%3Ard"


def nothing(kind: str, age_ms: int) -> None:
    """These tests do not look at evidence."""


@pytest.fixture(scope="module")
def egress() -> Egress:
    return Egress()


def answer_through(egress: Egress, far_end: FarEnd, url: str, said: bytes = b"hello") -> bytes:
    """What comes back through a proxy at `url`, or the exit's refusal."""
    client, answer = dial(open_exit(egress, "device", url, nothing))
    try:
        if not answer.startswith(b"HTTP/1.1 200"):
            return answer
        client.sendall(said)
        return client.recv(100)
    finally:
        client.close()
        egress.close("device")
        far_end.stop()


@pytest.mark.parametrize(
    "proxy",
    [
        lambda: SocksProxy(),
        lambda: SocksProxy(("me", SECRET)),
        lambda: SocksProxy(("me", SECRET), bound=b"\x03\x09localhost"),
        lambda: SocksProxy(("me", SECRET), bound=b"\x04" + bytes(16)),
        lambda: HttpProxy("me", SECRET),
    ],
    ids=["socks5", "socks5 with login", "socks5 bound to a name", "socks5 bound to IPv6", "http with login"],
)
def test_bytes_go_through_a_proxy_that_wants_to_know_who_we_are(egress: Egress, proxy: type[FarEnd]) -> None:
    far_end = proxy()
    scheme = "http" if isinstance(far_end, HttpProxy) else "socks5"
    assert answer_through(egress, far_end, f"{scheme}://me:{IN_A_URL}@{far_end.address}") == b"hello"
    assert far_end.got == b"hello"
    assert far_end.asked in (["web.whatsapp.com:443"], ["CONNECT web.whatsapp.com:443 HTTP/1.1"])


@pytest.mark.parametrize(
    ("proxy", "code"),
    [
        (lambda: SocksProxy(("me", "other")), "proxy_login"),
        (lambda: SocksProxy(reply=5), "proxy_refused SOCKS5 reply 5"),
        (lambda: HttpProxy("me", "other"), "proxy_login"),
    ],
    ids=["socks5 login", "socks5 refusal", "http login"],
)
def test_a_refusal_is_named_and_the_credentials_are_not(
    egress: Egress, proxy: type[FarEnd], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    far_end = proxy()
    scheme = "http" if isinstance(far_end, HttpProxy) else "socks5"
    with caplog.at_level(logging.DEBUG):
        answer = answer_through(egress, far_end, f"{scheme}://me:{IN_A_URL}@{far_end.address}")
    assert answer.startswith(b"HTTP/1.1 502")
    assert code in caplog.text
    for secret in (SECRET, IN_A_URL, "me:"):
        assert secret not in caplog.text


def test_what_keeps_failing_is_logged_once_and_once_more_when_it_heals(
    egress: Egress, caplog: pytest.LogCaptureFixture
) -> None:
    far_end = SocksProxy()
    working, far_end.welcome = far_end.welcome, lambda connection: False  # type: ignore[method-assign]
    exit_of_device = open_exit(egress, "device", f"socks5://{far_end.address}", nothing)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert dial(exit_of_device)[1].startswith(b"HTTP/1.1 502")
        far_end.welcome = working  # type: ignore[method-assign]
        for _ in range(2):
            assert dial(exit_of_device)[1].startswith(b"HTTP/1.1 200")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "WhatsApp cannot be reached for device: proxy_refused it hung up",
        "WhatsApp can be reached again for device",
    ]
    egress.close("device")
    far_end.stop()


def test_a_device_is_led_another_way_from_its_next_connection_on(egress: Egress) -> None:
    first, second = SocksProxy(), SocksProxy(("me", SECRET))
    proxy = open_exit(egress, "led", f"socks5://{first.address}", nothing)
    standing, _ = dial(proxy)
    egress.route("led", f"socks5://me:{IN_A_URL}@{second.address}", public_only=False)
    standing.sendall(b"still here")
    assert standing.recv(100) == b"still here"
    moved, _ = dial(proxy)
    moved.sendall(b"moved")
    assert moved.recv(100) == b"moved"
    assert (bytes(first.got), bytes(second.got)) == (b"still here", b"moved")
    egress.close("led")
    for end in (standing, moved, first, second):
        end.close() if not isinstance(end, FarEnd) else end.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_private_address_is_not_dialled_for_a_session_whatever_its_name_is(egress: Egress, host: str) -> None:
    far_end, told = SocksProxy(), list[str]()
    port = far_end.address.rpartition(":")[2]
    url = f"socks5://{host}:{port}"
    proxy = open_exit(egress, "private", url, nothing, None, told.append, public_only=True)
    assert dial(proxy)[1].startswith(b"HTTP/1.1 502")
    assert told == ["proxy_not_allowed"]
    assert not far_end.connections
    egress.route("private", url, public_only=False)
    assert dial(proxy)[1].startswith(b"HTTP/1.1 200")
    egress.close("private")
    far_end.stop()


def test_an_address_that_turned_private_after_it_was_accepted_is_not_dialled(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    far_end, told = SocksProxy(), list[str]()
    port = int(far_end.address.rpartition(":")[2])
    real = socket.getaddrinfo

    def rebound(host: str, *arguments: object, **options: object) -> object:
        return real("127.0.0.1" if host == "proxy.example" else host, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    proxy = open_exit(egress, "rebound", f"socks5://proxy.example:{port}", nothing, None, told.append, public_only=True)
    assert dial(proxy)[1].startswith(b"HTTP/1.1 502")
    assert told == ["proxy_not_allowed"]
    assert not far_end.connections
    egress.close("rebound")
    far_end.stop()


def test_why_whatsapp_is_not_reached_is_told_when_it_changes(egress: Egress) -> None:
    told: list[str] = []
    picky = SocksProxy(("me", "other"))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"socks5://127.0.0.1:{closed.getsockname()[1]}"
    proxy = open_exit(egress, "told", f"socks5://me:wrong@{picky.address}", nothing, None, told.append)
    dial(proxy, "mmg.whatsapp.net:443")
    assert (told, egress.unreached("told")) == ([], None), "media is not the connection"
    for _ in range(2):
        dial(proxy)
    assert (told, egress.unreached("told")) == (["proxy_login"], "proxy_login")
    egress.route("told", nobody, public_only=False)
    assert egress.unreached("told") is None
    dial(proxy)
    assert told == ["proxy_login", "proxy_unreachable"]
    egress.route("told", f"socks5://me:other@{picky.address}", public_only=False)
    standing, answer = dial(proxy)
    assert answer.startswith(b"HTTP/1.1 200")
    assert egress.unreached("told") is None
    egress.route("told", nobody, public_only=False)
    dial(proxy)
    assert told == ["proxy_login", "proxy_unreachable"], "what fails beside a connection that stands is not told"
    standing.close()
    egress.close("told")
    picky.stop()


def test_a_proxy_that_accepts_and_says_nothing_is_unreachable(egress: Egress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "_DIAL_TIMEOUT_S", 0.2)
    told: list[str] = []
    mute = socket.create_server(("127.0.0.1", 0))
    url = f"socks5://127.0.0.1:{mute.getsockname()[1]}"
    proxy = open_exit(egress, "mute", url, nothing, None, told.append)
    assert dial(proxy)[1].startswith(b"HTTP/1.1 502")
    assert told == ["proxy_unreachable"]
    egress.close("mute")
    mute.close()
