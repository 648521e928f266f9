"""A session's proxy between the API, which seals its address, and the connector, which dials it: in clear in neither's store."""

from __future__ import annotations

import logging

from keepline.domain.errors import StateConflict, Unavailable
from keepline.domain.link_settings import Proxy
from keepline.domain.sealing import KEY_BYTES, NONCE_BYTES, ProxySeal, SealBroken, proxy_key_context
from keepline.ports.keys import KeyRefused, KeyUnavailable, KeyWrapper
from keepline.records.link_settings import SealedProxy
from keepline.usecases.session_chain import Entropy

log = logging.getLogger(__name__)


class ProxyUnreadable(Exception):
    """A stored proxy cannot be opened: it was changed, or its key is another one's. It will not pass by itself."""


class ProxySealer:
    """`keys` is None where none are configured: then no proxy can be kept. `private_allowed`: not only public addresses."""

    def __init__(self, keys: KeyWrapper | None, entropy: Entropy, *, private_allowed: bool) -> None:
        self._keys = keys
        self._entropy = entropy
        self._private_allowed = private_allowed

    async def seal(self, account: str, url: str) -> SealedProxy:
        """A proxy's address as it may rest in the store, each time under a data key of its own.

        Raises InvalidInput (`bad_proxy`, `proxy_not_allowed`), StateConflict (`no_sealing_key`), Unavailable
        (`key_unavailable`).
        """
        proxy = Proxy.parse(url)
        if not self._private_allowed:
            proxy.must_be_public()
        key = self._entropy(KEY_BYTES)
        seal = ProxySeal(key, account, proxy.scheme, proxy.host, proxy.port)
        return SealedProxy(
            scheme=proxy.scheme,
            host=proxy.host,
            port=proxy.port,
            has_credentials=proxy.name is not None,
            wrapped_key=await self._wrapped(key, account),
            sealed=seal.seal(proxy.url, self._entropy(NONCE_BYTES)),
        )

    async def _wrapped(self, key: bytes, account: str) -> bytes:
        if self._keys is None:
            raise _no_sealing_key()
        try:
            return await self._keys.wrap(key, proxy_key_context(account))
        except KeyRefused as error:
            log.error("a proxy could not be sealed: %s", error)
            raise _no_sealing_key() from error
        except KeyUnavailable as error:
            log.warning("a proxy could not be sealed: %s", error)
            raise Unavailable(
                "key_unavailable",
                "The keeper of the keys did not answer, so the proxy cannot be kept safely.",
                "Try again in a second; nothing was changed.",
            ) from error


async def opened_proxy(keys: KeyWrapper, account: str, stored: SealedProxy) -> Proxy:
    """The proxy to dial. Raises ProxyUnreadable and KeyUnavailable."""
    try:
        key = (await keys.unwrap(stored.wrapped_key, proxy_key_context(account))).key
        # Another length of key is no mistake that opening would name.
        if len(key) != KEY_BYTES:
            raise SealBroken
        return Proxy.parse(ProxySeal(key, account, stored.scheme, stored.host, stored.port).open(stored.sealed))
    except KeyRefused as error:
        raise ProxyUnreadable(str(error)) from error
    except SealBroken as error:
        raise ProxyUnreadable("it was changed, or put there from elsewhere") from error


def _no_sealing_key() -> StateConflict:
    return StateConflict(
        "no_sealing_key",
        "This installation's API has no key to seal a proxy's address with, so it cannot keep one.",
        "Its operator gives the functions KEEPLINE_KMS_KEY or KEEPLINE_KEY_FILE, the same as the connectors have.",
    )
