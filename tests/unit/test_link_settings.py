"""A session's proxy: which addresses are taken, which are private, and what is sealed of it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from keepline.domain.errors import InvalidInput
from keepline.domain.link_settings import Proxy, is_public
from keepline.domain.sealing import KEY_BYTES, NONCE_BYTES, ProxySeal, Seal, SealBroken, SegmentKind

SECRET = "p@ss/w:rd"
IN_A_URL = "p%40ss%2Fw%3Ard"
KEY = bytes(range(KEY_BYTES))
NONCE = bytes(range(NONCE_BYTES))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy:1080",
        "https://me:secret@proxy",
        "socks4://me:secret@proxy:1080",
        "socks5://me:secret@proxy:port",
        "socks5://me:secret@proxy:0",
        "socks5://me:secret@proxy:65536",
        "socks5://me:secret@",
        "socks5://:secret@proxy",
        "socks5://me:secret@proxy/path",
        "socks5://me:secret@proxy?query",
        "socks5://me:secret@proxy#fragment",
        "socks5://me:secret@[proxy",
        "socks5://me:secret@[fe80::1%25eth0]",
        "http://me:secret" + "x" * 250 + "@proxy",
        "http://me:secret%0d%0aHost@proxy",
        "http://me:secret%ff@proxy",
        "http://me:secret@pro\nxy",
        "http://me:secret@pro xy",
        "http://me:secret@prøxy",
        "http://m%3Ae:secret@proxy",
        "http://me:secret@127.1",
        "http://me:secret@2130706433",
        "http://me:secret@0x7f000001",
        "http://me:secret@0177.0.0.1",
        "http://me:secret@-proxy.example",
        "http://me:secret@proxy..example",
        "http://me:secret@" + "a." * 150 + "example",
        "http://me:secret@proxy/" + "/" * 5_000,
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Proxy.parse(url)
    assert refused.value.code == "bad_proxy"
    assert "http://" in refused.value.hint
    assert "secret" not in f"{refused.value} {refused.value.message} {refused.value.hint}"
    assert refused.value.__cause__ is None


def test_a_proxy_shows_where_it_is_and_not_who_we_are() -> None:
    proxy = Proxy.parse(f"socks5://someone:{IN_A_URL}@proxy.example")
    assert (proxy.host, proxy.port) == ("proxy.example", 1080)
    assert (proxy.name, proxy.password) == ("someone", SECRET)
    assert "proxy.example" in repr(proxy)
    assert SECRET not in repr(proxy)
    assert "someone" not in repr(proxy)


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://Proxy.Example", "http://proxy.example:80"),
        ("socks5://10.0.0.1:9/", "socks5://10.0.0.1:9"),
        (f"socks5://me:{IN_A_URL}@[2001:DB8::1]", f"socks5://me:{IN_A_URL}@[2001:db8::1]:1080"),
        ("http://m%C3%B8e@proxy:3128", "http://m%C3%B8e@proxy:3128"),
        ("http://me:@proxy:3128", "http://me:@proxy:3128"),
    ],
)
def test_an_address_written_again_means_the_same(url: str, whole: str) -> None:
    assert Proxy.parse(url).url == whole
    assert Proxy.parse(whole) == Proxy.parse(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
    ],
)
def test_an_address_that_is_not_of_the_internet_is_private(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidInput, match="private"):
        Proxy.parse(f"http://me:secret@{host}:3128").must_be_public()


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "metadata.google.internal", "printer.local"])
def test_a_name_that_says_that_it_is_private_is_taken_at_its_word(host: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Proxy.parse(f"socks5://{host}").must_be_public()
    assert refused.value.code == "proxy_not_allowed"


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "proxy.example", "proxy"])
def test_what_may_be_public_is_taken(host: str) -> None:
    Proxy.parse(f"socks5://{host}").must_be_public()


def test_a_sealed_address_opens_for_its_account_and_as_it_is_shown_only() -> None:
    url = "socks5://me:secret@proxy.example:1080"
    place = ("demo_s1", "socks5", "proxy.example", 1080)
    sealed = ProxySeal(KEY, *place).seal(url, NONCE)
    assert b"secret" not in sealed
    assert ProxySeal(KEY, *place).open(sealed) == url
    others = [
        (KEY, "demo_s2", *place[1:]),
        (KEY, "demo_s1", "http", "proxy.example", 1080),
        (KEY, "demo_s1", "socks5", "proxy.other", 1080),
        (KEY, "demo_s1", "socks5", "proxy.example", 1081),
        (KEY[::-1], *place),
    ]
    for key, account, scheme, host, port in others:
        with pytest.raises(SealBroken):
            ProxySeal(key, account, scheme, host, port).open(sealed)
    for changed in (sealed[:-1], sealed[:20], b"", sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(SealBroken):
            ProxySeal(KEY, *place).open(changed)


def test_a_sealed_address_is_no_segment_of_a_session() -> None:
    sealed = ProxySeal(KEY, "demo_s1", "http", "a", 1).seal("http://proxy:1", NONCE)
    with pytest.raises(SealBroken):
        Seal(KEY, "demo_s1", "a").open_segment(sealed, sequence=1, epoch=1, kind=SegmentKind.ROWS)
