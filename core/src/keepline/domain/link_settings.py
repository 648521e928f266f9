"""How a session's linked devices connect and are seen: its presence, and the proxy that leads them to WhatsApp.

Credentials of a proxy stay in here: no repr and no error has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, unquote, urlsplit

from keepline.domain.errors import InvalidInput

# More than twice of what the longest host, name and password need (percent-encoding triples them).
PROXY_URL_CHARACTERS_MAX = 4_096
_FIELD_BYTES_MAX = 255  # of SOCKS5: name and password carry their length in one byte (RFC 1929, 2)
_NAME_CHARACTERS_MAX = 253  # of a host (RFC 1035, 2.3.4, as text)
_DEFAULT_PORTS = {"http": 80, "socks5": 1080}
_PRINTABLE = re.compile(r"[!-~]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The last label is no number: resolvers read `127.1` and `0x7f000001` as addresses.
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Addresses that carry an IPv4 address which a gateway on the way may unpack: IPv4-compatible ones (RFC 4291), NAT64 (RFC 6052,
# 8215), Teredo, 6to4.
_CARRIERS = tuple(map(IPv6Network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")))


class Presence(StrEnum):
    """How contacts see the number, and what its phone makes of that."""

    AVAILABLE = "available"  # Online while a device is connected. The phone gets no push notifications then.
    UNAVAILABLE = "unavailable"  # Not online. The phone notifies as ever.


@dataclass(frozen=True)
class Proxy:
    """A proxy to go through. The name and the password are never shown."""

    scheme: str
    host: str
    port: int
    name: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """`http://` or `socks5://`, with or without a name and a password. Raises InvalidInput, which does not quote it."""
        try:
            return cls._parsed(url)
        except ValueError:
            raise InvalidInput(
                "bad_proxy",
                "The proxy's address cannot be used.",
                "Write it like socks5://name:password@host:port or http://host:port, in ASCII; what is special in a name or a"
                " password is percent-encoded.",
            ) from None

    @classmethod
    def _parsed(cls, url: str) -> Proxy:
        # urlsplit drops tabs and line feeds without a word.
        if len(url) > PROXY_URL_CHARACTERS_MAX or not _PRINTABLE.fullmatch(url):
            raise ValueError
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in _DEFAULT_PORTS or parts.path.strip("/") or parts.query or parts.fragment or port == 0:
            raise ValueError
        if not (len(host) <= _NAME_CHARACTERS_MAX and _HOST.fullmatch(host)):
            host = str(ip_address(host))
            if "%" in host:
                raise ValueError  # A zone means something on one machine only.
        name, password = _credential(parts.username), _credential(parts.password)
        if name == "" or ":" in (name or "") or (name is None and password is not None):
            raise ValueError
        return cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], name, password)

    @property
    def url(self) -> str:
        """Everything, the password too."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        login = ""
        if self.name is not None:
            secret = "" if self.password is None else f":{quote(self.password, safe='')}"
            login = f"{quote(self.name, safe='')}{secret}@"
        return f"{self.scheme}://{login}{host}:{self.port}"

    def must_be_public(self) -> None:
        """Refuse what is seen to be private before anything is resolved. Raises InvalidInput (`proxy_not_allowed`).

        What a name resolves to can change: whoever dials it looks at the address again (`is_public`).
        """
        if not is_public_host(self.host):
            raise InvalidInput(
                "proxy_not_allowed",
                "The proxy's address is a private one, and this installation does not dial those for its sessions.",
                "Use a proxy with a public address; or its operator allows private ones with KEEPLINE_PRIVATE_ADDRESSES.",
            )


@dataclass(frozen=True)
class LinkSettings:
    """What a linked device is told. Without a `proxy` of the session its connector's own way holds."""

    presence: Presence = Presence.UNAVAILABLE
    proxy: Proxy | None = None


def is_public_host(host: str) -> bool:
    """Whether a name or an address, as it is written, is not seen to be a private one."""
    try:
        return is_public(ip_address(host))
    except ValueError:
        return host != "localhost" and not host.endswith((".localhost", ".internal", ".local"))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether this is a host of the internet: not this machine, its network, or the metadata service of its cloud."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in carrier for carrier in _CARRIERS):
            return False
    return address.is_global and not address.is_multicast


def _credential(text: str | None) -> str | None:
    if text is None:
        return None
    plain = unquote(text, errors="strict")
    if len(plain.encode()) > _FIELD_BYTES_MAX or _CONTROL.search(plain):
        raise ValueError
    return plain
