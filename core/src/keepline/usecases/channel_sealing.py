"""The addresses of the channels of alerts: they hold passwords and tokens, so they rest sealed, as webhooks' secrets do."""

from __future__ import annotations

import logging

from keepline.domain.errors import StateConflict, Unavailable
from keepline.domain.sealing import KEY_BYTES, NONCE_BYTES, ChannelSeal, SealBroken, channel_key_context
from keepline.ports.keys import KeyRefused, KeyUnavailable, KeyWrapper
from keepline.records.webhooks import SealedSecrets
from keepline.usecases.session_chain import Entropy

log = logging.getLogger(__name__)


class AddressUnreadable(Exception):
    """A channel's address cannot be opened: it was changed, or its key is another one's. It will not pass by itself."""


class ChannelSealer:
    """`keys` is None where none are configured: then no channel with an address can be made."""

    def __init__(self, keys: KeyWrapper | None, entropy: Entropy) -> None:
        self._keys = keys
        self._entropy = entropy

    async def seal(self, owner: str, channel: str, url: str) -> SealedSecrets:
        """Raises StateConflict (`no_sealing_key`), Unavailable (`key_unavailable`)."""
        if self._keys is None:
            raise _no_sealing_key()
        key = self._entropy(KEY_BYTES)
        try:
            wrapped = await self._keys.wrap(key, channel_key_context(owner, channel))
        except KeyRefused as error:
            log.error("the address of a channel of alerts could not be sealed: %s", error)
            raise _no_sealing_key() from error
        except KeyUnavailable as error:
            raise _key_unavailable() from error
        return SealedSecrets(wrapped, ChannelSeal(key, owner, channel).seal(url, self._entropy(NONCE_BYTES)))

    async def open(self, owner: str, channel: str, sealed: SealedSecrets) -> str:
        """Raises AddressUnreadable, and Unavailable (`key_unavailable`)."""
        if self._keys is None:
            raise AddressUnreadable("there is no key to open it with")
        try:
            unwrapped = await self._keys.unwrap(sealed.wrapped_key, channel_key_context(owner, channel))
            # Another length of key is no mistake that opening would name.
            if len(unwrapped.key) != KEY_BYTES:
                raise SealBroken
            return ChannelSeal(unwrapped.key, owner, channel).open(sealed.sealed)
        except KeyRefused as error:
            raise AddressUnreadable(str(error)) from error
        except SealBroken as error:
            raise AddressUnreadable("it was changed, or put there from elsewhere") from error
        except KeyUnavailable as error:
            raise _key_unavailable() from error


def _no_sealing_key() -> StateConflict:
    return StateConflict(
        "no_sealing_key",
        "This installation has no key to seal the channel's address with.",
        "Its operator sets KEEPLINE_WEBHOOK_KMS_KEY or KEEPLINE_KEY_FILE for the functions.",
    )


def _key_unavailable() -> Unavailable:
    return Unavailable(
        "key_unavailable",
        "The keeper of the keys did not answer, so the channel's address is out of reach.",
        "Try again in a moment.",
    )
