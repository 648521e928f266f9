"""Which addresses a channel of alerts may have, written as Apprise writes them (`mailtos://…`, `slack://…`). Pure.

Apprise knows 170 ways, some of which read files, call programs or talk to this machine. So only ways that are named here are
taken, and of their options only those that say whom and what to tell. What a name leads to is judged when it is dialled.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from keepline.domain.errors import InvalidInput
from keepline.domain.link_settings import is_public_host

URL_CHARACTERS_MAX = 1_024
NAME_CHARACTERS_MAX = 100

# Services with an address of their own: what stands in the host's place is a token or a name, not a host.
SERVICES = frozenset(
    {
        *("slack", "discord", "tgram", "gchat", "webex", "wxteams", "line", "pover", "pbul", "prowl"),
        *("pagerduty", "opsgenie", "betterstack", "victorops", "spike", "squadcast", "ilert", "twist", "zulip"),
        *("twilio", "vonage", "nexmo", "msgbird", "plivo", "telnyx", "sinch", "clicksend", "bulksms", "46elks"),
        *("sendgrid", "mailgun", "brevo", "postmark", "resend", "sparkpost", "smtp2go", "sns", "ses", "signl4"),
    }
)
# A server that its owner names.
OWN_SERVERS = frozenset(
    {
        *("mailto", "mailtos", "ntfy", "ntfys", "json", "jsons", "gotify", "gotifys", "mmost", "mmosts"),
        *("rocket", "rockets", "workflow", "workflows"),
    }
)
SCHEMES = SERVICES | OWN_SERVERS
# `template`, `pgpkey` and their like name files of this machine.
OPTIONS = frozenset(
    {
        *("to", "cc", "bcc", "from", "name", "reply", "smtp", "mode", "user", "pass", "format", "priority", "tags"),
        *("channel", "topic", "thread", "region", "method", "auth", "token", "icon", "email"),
    }
)
_PRINTABLE = re.compile(r"[!-~]+")


def check_channel_url(url: str, *, private_allowed: bool) -> str:
    """Return `url` if alerts may be told there. Raises InvalidInput (`bad_channel_url`, `channel_url_not_allowed`)."""
    scheme, _, rest = url.partition("://")
    if len(url) > URL_CHARACTERS_MAX or not _PRINTABLE.fullmatch(url) or not rest:
        raise _bad()
    if scheme not in SCHEMES:
        raise InvalidInput(
            "channel_url_not_allowed",
            "This installation does not tell alerts that way.",
            f"The ways are: {', '.join(sorted(SCHEMES))}.",
        )
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _bad() from None
    if parts.fragment or any(name.lower() not in OPTIONS for name, _ in options):
        raise InvalidInput(
            "channel_url_not_allowed",
            "The channel's address has an option that is not allowed.",
            f"The options are: {', '.join(sorted(OPTIONS))}.",
        )
    servers = [value for name, value in options if name.lower() == "smtp"]
    if scheme in OWN_SERVERS:
        servers.append(host)
    if not private_allowed and not all(server and is_public_host(server) for server in servers):
        raise InvalidInput(
            "channel_url_not_allowed",
            "The channel's address is a private one, and this installation sends nothing there.",
            "Use a public address; or its operator allows private ones with KEEPLINE_PRIVATE_ADDRESSES.",
        )
    return url


def shown(url: str) -> str:
    """What may be shown of an address: everything else of it may be a secret."""
    return f"{url.partition('://')[0]}://…"


def bad_channel_url() -> InvalidInput:
    """The answer to an address in which Apprise finds nobody to tell."""
    return _bad()


def _bad() -> InvalidInput:
    return InvalidInput(
        "bad_channel_url",
        "The channel's address cannot be used.",
        "Write it as Apprise does, like mailtos://name:password@example.com?to=me@example.com or slack://…",
    )
