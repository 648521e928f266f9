# Made of _async/transport.py by make_sync.py: change that one, then run `make client`.
"""Calls over HTTP: one pool of connections, a time limit for each try, and tries again where that cannot do harm."""

from __future__ import annotations

import ipaddress
import random
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import httpx

from keepline_client import _answers, _retries
from keepline_client._calls import IDEMPOTENCY_KEY, Call, Upload
from keepline_client._connections import hang_up
from keepline_client._files import PIECE_BYTES
from keepline_client._sync.pausing import pause
from keepline_client._version import __version__
from keepline_client.errors import KeeplineError

_CONNECT_TIMEOUT_S_MAX = 5.0
_USER_AGENT = f"keepline-client/{__version__}"


class Transport:
    """Sends calls. The key is in the header that httpx shows to nobody, and nowhere else."""

    def __init__(
        self, url: str, api_key: str, timeout_s: float, tries_max: int, transport: httpx.BaseTransport | None
    ) -> None:
        self.url = url.rstrip("/")
        base = httpx.URL(self.url)
        if base.scheme not in ("http", "https") or not base.host:
            raise ValueError("the url is Keepline's address, like https://keepline.example")
        if base.userinfo:
            raise ValueError("the url has a name or password in it; the key is api_key")
        key = api_key.strip()
        # Never said in an error: a key that cannot be in a header would be repeated there.
        if not key or not key.isascii() or not key.isprintable():
            raise ValueError("api_key is no API key and no ID token")
        if timeout_s <= 0 or tries_max < 1:
            raise ValueError("there must be some time, and one try at least")
        self.tries_max = tries_max
        self.is_closed = False
        self._streams: set[httpx.Response] = set()
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}", "User-Agent": _USER_AGENT, "Accept": "application/json"},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S_MAX)),
            transport=transport,
            follow_redirects=False,  # The key is for this address.
            trust_env=not _is_this_machine(
                base.host
            ),  # Which is reached directly, whatever proxy it has for the world.
        )

    def ask(self, call: Call) -> httpx.Response:
        """The answer to a call, a success. Raises KeeplineError when the last try has failed."""
        # One for all tries: with it Keepline's logs tell the whole story, also of answers that got lost.
        request_id = uuid.uuid4().hex
        headers = {"X-Request-Id": request_id}
        if call.idempotency_key is not None:
            headers[IDEMPOTENCY_KEY] = call.idempotency_key
        if call.upload is not None:
            headers |= {"Content-Type": call.upload.mime_type, "Content-Length": str(call.upload.size)}
        tries = 0
        may_be_done = False
        while True:
            tries += 1
            try:
                answer = self._client.request(
                    call.method,
                    self.url + call.path,
                    params=call.query or None,
                    json=call.body,
                    content=_pieces(call.upload) if call.upload is not None else None,
                    headers=headers,
                )
            except httpx.RequestError as failure:
                error: KeeplineError = _answers.no_answer(failure, call, self.url, request_id)
                error.__cause__ = failure
            else:
                # What an earlier try has deleted is not there any more.
                if answer.is_success or (may_be_done and call.method == "DELETE" and answer.status_code == 404):
                    return answer
                error = _answers.error_in(answer, call, request_id)
            wait_s = _retries.pause_s(call, error, tries, self.tries_max, random.random())  # noqa: S311
            if wait_s is None:
                raise error
            may_be_done = may_be_done or _retries.may_have_been_done(error)
            pause(wait_s)

    def json(self, call: Call) -> Any:
        """The JSON of the answer to a call."""
        return _answers.json_in(self.ask(call))

    def fetch(self, link: str, into: BinaryIO) -> None:
        """Write what is at a link that Keepline gave out into a file. Raises KeeplineError when the last try has failed."""
        call = Call("GET", link, is_link=True)
        start = into.tell()
        tries = 0
        while True:
            tries += 1
            into.seek(start)
            into.truncate()
            try:
                with self.stream(call) as answer:
                    for piece in answer.iter_bytes(PIECE_BYTES):
                        into.write(piece)
                return
            except KeeplineError as error:
                wait_s = _retries.pause_s(call, error, tries, self.tries_max, random.random())  # noqa: S311
                if wait_s is None:
                    raise
            pause(wait_s)

    @contextmanager
    def stream(
        self, call: Call, headers: Mapping[str, str] | None = None, *, silence_s_max: float | None = None
    ) -> Iterator[httpx.Response]:
        """The answer to a call as it comes, a success. One try. Raises KeeplineError, also when it breaks off."""
        request_id = uuid.uuid4().hex
        request = self._client.build_request(
            call.method,
            call.path if call.is_link else self.url + call.path,
            params=call.query or None,
            headers={"X-Request-Id": request_id, **(headers or {})},
        )
        if call.is_link:
            del request.headers["Authorization"]
        if silence_s_max is not None:
            request.extensions["timeout"]["read"] = silence_s_max
        try:
            answer = self._client.send(request, stream=True)
            self._streams.add(answer)
            try:
                if not answer.is_success:
                    answer.read()
                    raise _answers.error_in(answer, call, request_id)
                yield answer
            finally:
                self._streams.discard(answer)
                answer.close()
        except httpx.RequestError as failure:
            raise _answers.no_answer(failure, call, self.url, request_id) from failure

    def close(self) -> None:
        """Close the connections, also those that somebody listens on."""
        self.is_closed = True
        for answer in list(self._streams):
            hang_up(answer)
        self._client.close()


def _pieces(upload: Upload) -> Iterator[bytes]:
    upload.file.seek(upload.start)
    while piece := upload.file.read(PIECE_BYTES):
        yield piece


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
