"""A webhook's signing secrets and its owner's headers: sealed in the store, in clear only while something is being sent."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keepline.domain.errors import StateConflict, Unavailable
from keepline.domain.sealing import KEY_BYTES, NONCE_BYTES, SealBroken, WebhookSeal, webhook_key_context
from keepline.domain.webhook_signing import Secret
from keepline.ports.keys import KeyRefused, KeyUnavailable, KeyWrapper
from keepline.records.webhooks import SealedSecrets
from keepline.usecases.session_chain import Entropy

# Each saves a call to the keeper of the keys per delivery; they are let go with the process.
OPENED_MAX = 1_000

log = logging.getLogger(__name__)


class SecretsUnreadable(Exception):
    """A webhook's secrets cannot be opened: they were changed, or their key is another one's. It will not pass by itself."""


class Sealed(Protocol):
    """Whose secrets they are: a webhook, or whatever else is called at an address with headers of its own."""

    @property
    def tenant(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def secrets(self) -> SealedSecrets: ...


@dataclass(frozen=True)
class Contents:
    """What is sealed. The current secret comes first."""

    secrets: list[Secret] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def to_json(self) -> bytes:
        secrets = [[one.text, one.ends_at.isoformat() if one.ends_at else None] for one in self.secrets]
        return json.dumps({"secrets": secrets, "headers": dict(self.headers)}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Contents:
        found = json.loads(data)
        secrets = [Secret(text, datetime.fromisoformat(ends) if ends else None) for text, ends in found["secrets"]]
        return cls(secrets, found["headers"])


class WebhookSealer:
    """`keys` is None where none are configured: then no webhook can be kept."""

    def __init__(self, keys: KeyWrapper | None, entropy: Entropy) -> None:
        self._keys = keys
        self._entropy = entropy
        self._opened: OrderedDict[tuple[str, bytes], Contents] = OrderedDict()

    async def seal(self, tenant: str, webhook: str, url: str, contents: Contents) -> SealedSecrets:
        """Each time under a data key of its own. Raises StateConflict (`no_sealing_key`), Unavailable (`key_unavailable`)."""
        key = self._entropy(KEY_BYTES)
        seal = WebhookSeal(key, tenant, webhook, url)
        if self._keys is None:
            raise _no_sealing_key()
        try:
            wrapped = await self._keys.wrap(key, webhook_key_context(tenant, webhook))
        except KeyRefused as error:
            log.error("a webhook's secrets could not be sealed: %s", error)
            raise _no_sealing_key() from error
        except KeyUnavailable as error:
            log.warning("a webhook's secrets could not be sealed: %s", error)
            raise _key_unavailable() from error
        return SealedSecrets(wrapped, seal.seal(contents.to_json(), self._entropy(NONCE_BYTES)))

    async def open(self, webhook: Sealed) -> Contents:
        """Raises SecretsUnreadable, and Unavailable (`key_unavailable`)."""
        name = (webhook.url, webhook.secrets.sealed)
        if (known := self._opened.get(name)) is not None:
            return known
        contents = await self._open(webhook)
        self._opened[name] = contents
        while len(self._opened) > OPENED_MAX:
            self._opened.popitem(last=False)
        return contents

    async def _open(self, webhook: Sealed) -> Contents:
        if self._keys is None:
            raise SecretsUnreadable("there is no key to open them with")
        try:
            unwrapped = await self._keys.unwrap(
                webhook.secrets.wrapped_key, webhook_key_context(webhook.tenant, webhook.id)
            )
            # Another length of key is no mistake that opening would name.
            if len(unwrapped.key) != KEY_BYTES:
                raise SealBroken
            seal = WebhookSeal(unwrapped.key, webhook.tenant, webhook.id, webhook.url)
            return Contents.from_json(seal.open(webhook.secrets.sealed))
        except KeyRefused as error:
            raise SecretsUnreadable(str(error)) from error
        except SealBroken as error:
            raise SecretsUnreadable("they were changed, or put there from elsewhere") from error
        except KeyUnavailable as error:
            raise _key_unavailable() from error


def _key_unavailable() -> Unavailable:
    return Unavailable(
        "key_unavailable",
        "The keeper of the keys did not answer, so the webhook's secrets are out of reach.",
        "Try again in a second; nothing was changed.",
    )


def _no_sealing_key() -> StateConflict:
    return StateConflict(
        "no_sealing_key",
        "This installation's API has no key to seal a webhook's secrets with, so it cannot keep one.",
        "Its operator gives the functions KEEPLINE_WEBHOOK_KMS_KEY, or KEEPLINE_KEY_FILE.",
    )
