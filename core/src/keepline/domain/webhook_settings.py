"""What a webhook may be told: its address, the events it is for, and the headers that its owner adds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from keepline.domain.errors import InvalidInput
from keepline.domain.link_settings import is_public_host
from keepline.domain.webhook_events import EventType

URL_CHARACTERS_MAX = 2_048
HEADERS_MAX = 10
HEADER_CHARACTERS_MAX = 1_024

_PRINTABLE = re.compile(r"[!-~]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # a token (RFC 9110, 5.6.2)
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
# What a delivery says itself, or what frames it: a second opinion would confuse receivers, or smuggle a request.
_OWN_HEADERS = frozenset(
    {
        *("host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding", "expect"),
        *("keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade", "user-agent"),
        *("accept", "accept-encoding", "webhook-id", "webhook-timestamp", "webhook-signature"),
    }
)


def check_url(url: str, *, private_allowed: bool) -> str:
    """Return `url` if events may be sent there. Raises InvalidInput (`bad_webhook_url`, `webhook_url_not_allowed`).

    What a name resolves to can change: whoever dials it looks at the address again.
    """
    # urlsplit drops tabs and line feeds without a word.
    if len(url) > URL_CHARACTERS_MAX or not _PRINTABLE.fullmatch(url):
        raise _bad_url()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _bad_url() from None
    schemes = ("https", "http") if private_allowed else ("https",)
    if parts.scheme not in schemes or not host or port == 0 or "@" in parts.netloc or "#" in url or "%" in host:
        raise _bad_url()
    if not private_allowed and not is_public_host(host):
        raise InvalidInput(
            "webhook_url_not_allowed",
            "The webhook's address is a private one, and this installation sends nothing there.",
            "Use a public address; or its operator allows private ones with KEEPLINE_PRIVATE_ADDRESSES.",
        )
    return url


def check_events(events: Collection[str]) -> list[str]:
    """Return the names without repetitions if all of them are events. Raises InvalidInput (`bad_event`)."""
    known = {event.value for event in EventType} | {"*"}
    if not events or not known.issuperset(events):
        raise InvalidInput(
            "bad_event",
            "There is no event of one of these names, or no name at all.",
            f"The events are: {', '.join(sorted(known))}; * stands for all.",
        )
    return sorted(set(events))


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return `headers` if a delivery may carry them. Raises InvalidInput (`bad_header`), which does not quote their values."""
    names = {name.lower() for name in headers}
    right = all(
        _HEADER_NAME.fullmatch(name) and len(value) <= HEADER_CHARACTERS_MAX and _HEADER_VALUE.fullmatch(value)
        for name, value in headers.items()
    )
    if not right or len(headers) > HEADERS_MAX or len(names) < len(headers) or names & _OWN_HEADERS:
        raise InvalidInput(
            "bad_header",
            "One of the headers cannot be sent.",
            f"Up to {HEADERS_MAX}, each name once, values of up to {HEADER_CHARACTERS_MAX} printable ASCII characters; not those"
            " that a delivery has of its own.",
        )
    return dict(headers)


def _bad_url() -> InvalidInput:
    return InvalidInput(
        "bad_webhook_url",
        "The webhook's address cannot be used.",
        "Write it like https://host/path, in ASCII, without a name, a password or a fragment.",
    )
