"""The map `settings` of an account and of each of its devices: pace and presence in clear, the proxy's address sealed.

The devices have copies, changed in the account's own commit, because that is what connectors listen to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keepline.domain.link_settings import Presence
from keepline.domain.pacing import NORMAL
from keepline.ports.documents import Fields


@dataclass(frozen=True)
class SealedProxy:
    """A proxy as it rests in Firestore. `sealed` has all of its address, under a data key that is wrapped beside it.

    What is in clear is for people to recognise it by, and sealed along: changed, the address does not open any more.
    """

    scheme: str
    host: str
    port: int
    has_credentials: bool
    wrapped_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)

    @classmethod
    def read(cls, fields: Fields) -> SealedProxy:
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class StoredSettings:
    """What holds for all devices of an account. `pacing` names the profile of how fast it sends."""

    presence: Presence = Presence.UNAVAILABLE
    proxy: SealedProxy | None = None
    pacing: str = NORMAL.name

    @classmethod
    def read(cls, fields: Fields) -> StoredSettings:
        proxy = fields["proxy"]
        return cls(
            Presence(fields["presence"]), SealedProxy.read(proxy) if proxy is not None else None, fields["pacing"]
        )

    def fields(self) -> dict[str, Any]:
        return {
            "presence": self.presence.value,
            "proxy": vars(self.proxy) if self.proxy is not None else None,
            "pacing": self.pacing,
        }
