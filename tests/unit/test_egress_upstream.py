"""Upstream proxies: HTTP and SOCKS5, with credentials that nobody sees."""

from __future__ import annotations

import logging

import pytest

from keepline_connector.cell.egress import Egress
from keepline_connector.cell.upstream import Upstream, UpstreamUnusable
from tests.unit.egress_support import FarEnd, HttpProxy, SocksProxy, dial

SECRET = "p@ss/w:rd"
IN_A_URL = "p%40ss%2Fw%3Ard"


def nothing(kind: str, age_ms: int) -> None:
    """These tests do not look at evidence."""


@pytest.fixture(scope="module")
def egress() -> Egress:
    return Egress()


def answer_through(egress: Egress, far_end: FarEnd, url: str, said: bytes = b"hello") -> bytes:
    """What comes back through a proxy at `url`, or the exit's refusal."""
    client, answer = dial(egress.open("device", url, nothing))
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
    exit_of_device = egress.open("device", f"socks5://{far_end.address}", nothing)
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


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy:1080",
        "https://me:secret@proxy",
        "socks4://me:secret@proxy:1080",
        "socks5://me:secret@proxy:port",
        "socks5://me:secret@",
        "socks5://me:secret@proxy/path",
        "socks5://me:secret@[proxy",
        "http://me:secret" + "x" * 250 + "@proxy",
        "http://m%3Ae:secret@proxy",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(UpstreamUnusable) as refused:
        Upstream.parse(url)
    assert "http://" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_proxy_shows_where_it_is_and_not_who_we_are() -> None:
    upstream = Upstream.parse(f"socks5://someone:{IN_A_URL}@proxy.example")
    assert (upstream.host, upstream.port) == ("proxy.example", 1080)
    assert (upstream.name, upstream.password) == ("someone", SECRET)
    assert "proxy.example" in repr(upstream)
    assert SECRET not in repr(upstream)
    assert "someone" not in repr(upstream)
