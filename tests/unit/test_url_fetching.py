"""Fetching files that users name by an address: what is never dialled, and where it ends."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from keepline.adapters.url_fetching import HttpFetcher
from keepline.domain.errors import InvalidInput, KeeplineError, StateConflict, TooLarge
from keepline.domain.link_settings import is_public
from simulator.tls import server_context

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.headers['Host']}{self.path}")  # type: ignore[attr-defined]
        self.server.answers[self.path](self)  # type: ignore[attr-defined]

    def say(self, status: int, body: bytes = b"", length: int | None = -1, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


class Server:
    """Answers by path, on a loopback address."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.http = ThreadingHTTPServer((host, 0), Handler)
        self.http.daemon_threads = True
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        vars(self.http).update(answers=self.answers, asked=self.asked)
        self.port = self.http.server_port
        self.url = f"http://{host}:{self.port}"


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Server]:
    server = Server(host)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


class Names:
    """A resolver that gives one answer after another, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def loopback_is_public(address: IPv4Address | IPv6Address) -> bool:
    """As if 127.0.0.1 were a host of the internet, and all else of loopback were not."""
    return str(address) == "127.0.0.1" or is_public(address)


async def fetched(fetcher: HttpFetcher, url: str, bytes_max: int = 1_000) -> tuple[bytes, str | None, str]:
    async with fetcher.fetch(url, bytes_max) as intake:
        intake.file.seek(0)
        return intake.file.read(), intake.declared, intake.name


async def refusal(fetcher: HttpFetcher, url: str, bytes_max: int = 1_000) -> KeeplineError:
    with pytest.raises(KeeplineError) as refused:
        await fetched(fetcher, url, bytes_max)
    return refused.value


ALLOWING = HttpFetcher(may_dial=loopback_is_public)


async def test_a_file_is_fetched_with_what_its_server_calls_it(server: Server) -> None:
    server.answers["/a/red%20one.png?x=1"] = lambda self: self.say(200, b"data", Content_Type="image/png")
    server.answers["/named"] = lambda self: self.say(200, b"", Content_Disposition='attachment; filename="bill.pdf"')
    assert await fetched(ALLOWING, f"{server.url}/a/red%20one.png?x=1") == (b"data", "image/png", "red one.png")
    assert (await fetched(ALLOWING, f"{server.url}/named"))[2] == "bill.pdf"
    assert server.asked[0] == f"127.0.0.1:{server.port}/a/red%20one.png?x=1"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "169.254.169.254",
        "10.0.0.7",
        "192.168.1.1",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ],
)
async def test_a_private_or_link_local_address_is_refused_and_nothing_is_dialled(server: Server, host: str) -> None:
    server.answers["/"] = lambda self: self.say(200, b"secret")
    error = await refusal(HttpFetcher(), f"http://{host}:{server.port}/")
    assert (type(error), error.code) == (InvalidInput, "url_not_allowed")
    assert server.asked == []


async def test_of_a_name_with_public_and_private_addresses_only_the_public_are_dialled(server: Server) -> None:
    with serving("127.0.0.2") as inside:
        server.answers["/"] = inside.answers["/"] = lambda self: self.say(200, b"data")
        both = HttpFetcher(Names(["127.0.0.2", "127.0.0.1"]), loopback_is_public)
        assert (await fetched(both, f"http://files.example:{server.port}/"))[0] == b"data"
        assert (len(server.asked), inside.asked) == (1, [])


async def test_a_name_that_rebinds_after_it_was_judged_changes_nothing(server: Server) -> None:
    with serving("127.0.0.2") as inside:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        server.answers["/"] = inside.answers["/"] = lambda self: self.say(200, b"from outside")
        content, _, _ = await fetched(HttpFetcher(names, loopback_is_public), f"http://rebinds.example:{server.port}/")
        assert content == b"from outside"
        assert (names.asked, inside.asked) == (1, [])
        assert server.asked == [f"rebinds.example:{server.port}/"]


async def test_a_redirect_is_judged_like_the_first_address(server: Server) -> None:
    with serving("127.0.0.2") as inside:
        inside.answers["/secret"] = lambda self: self.say(200, b"secret")
        server.answers["/in"] = lambda self: self.say(302, Location=f"{inside.url}/secret")
        server.answers["/file"] = lambda self: self.say(200, b"gopher")
        server.answers["/odd"] = lambda self: self.say(301, Location="file:///etc/passwd")
        server.answers["/on"] = lambda self: self.say(307, Location="/there")
        server.answers["/there"] = lambda self: self.say(200, b"data")
        assert (await refusal(ALLOWING, f"{server.url}/in")).code == "url_not_allowed"
        assert (await refusal(ALLOWING, f"{server.url}/odd")).code == "bad_url"
        assert (await fetched(ALLOWING, f"{server.url}/on"))[0] == b"data"
        assert inside.asked == []


async def test_over_tls_the_name_counts_although_its_address_is_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server:
        server.answers["/"] = lambda self: self.say(200, b"data")
        server.http.socket = server_context(tmp_path).wrap_socket(server.http.socket, server_side=True)
        to_us = HttpFetcher(Names(["127.0.0.1"]), loopback_is_public)
        right, wrong = (f"https://{host}:{server.port}/" for host in ("mmg.whatsapp.net", "files.example"))
        # Its authority is nobody's.
        assert (await refusal(to_us, right)).code == "url_not_fetched"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert (await fetched(to_us, right))[0] == b"data"
        assert (await refusal(to_us, wrong)).code == "url_not_fetched"


async def test_redirects_have_an_end(server: Server) -> None:
    server.answers["/"] = lambda self: self.say(302, Location="/")
    error = await refusal(ALLOWING, f"{server.url}/")
    assert (type(error), error.code, len(server.asked)) == (StateConflict, "url_not_fetched", 4)


@pytest.mark.parametrize("length", [-1, None])
async def test_a_file_that_is_too_large_is_given_up(server: Server, length: int | None) -> None:
    server.answers["/"] = lambda self: self.say(200, b"x" * 1_001, length)
    server.answers["/fits"] = lambda self: self.say(200, b"x" * 1_000, length)
    error = await refusal(ALLOWING, f"{server.url}/")
    assert (type(error), error.code) == (TooLarge, "media_too_large")
    assert len((await fetched(ALLOWING, f"{server.url}/fits"))[0]) == 1_000


async def test_a_server_that_takes_its_time_is_given_up(server: Server) -> None:
    goes_on = threading.Event()

    def drip(self: Handler) -> None:
        self.say(200, b"", 1_000)
        while not goes_on.wait(0.02):
            try:
                self.wfile.write(b"x")
            except OSError:
                return

    server.answers["/"] = drip
    error = await refusal(HttpFetcher(may_dial=loopback_is_public, limit_s=0.3), f"{server.url}/")
    goes_on.set()
    assert error.code == "url_not_fetched"
    assert "0.3 s" in error.message


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda self: self.say(404, b"no"), "the answer was 404"),
        (lambda self: self.say(200, b"half", 8), "ended before its end"),
        (lambda self: self.say(200, b"zip", Content_Encoding="gzip"), "compressed"),
        (lambda self: self.wfile.write(b"nonsense\r\n\r\n"), "BadStatusLine"),
    ],
)
async def test_what_is_no_file_is_refused_with_the_reason(server: Server, answer: Answer, why: str) -> None:
    server.answers["/"] = answer
    error = await refusal(ALLOWING, f"{server.url}/")
    assert error.code == "url_not_fetched"
    assert re.search(why, error.message)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "ftp://example.com/",
            "file:///etc/passwd",
            "http://",
            "http://a:b@example.com/",
            "http://example.com:0/",
        ),
        *("http://example.com/\r\nX: y", "http://exämple.com/", "http://example.com/" + "x" * 2_048, "http://[::1/"),
    ],
)
async def test_an_address_of_another_form_is_refused(url: str) -> None:
    assert (await refusal(HttpFetcher(Names(["93.184.215.14"])), url)).code == "bad_url"


async def test_a_name_without_an_address_is_refused_as_not_fetched() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    assert (await refusal(HttpFetcher(unknown), "http://example.invalid/")).code == "url_not_fetched"
    assert (await refusal(HttpFetcher(Names([])), "http://example.invalid/")).code == "url_not_fetched"


async def test_a_resolver_that_hangs_is_given_up() -> None:
    async def hangs(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    assert (await refusal(HttpFetcher(hangs, limit_s=0.1), "http://example.com/")).code == "url_not_fetched"
