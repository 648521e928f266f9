"""Who restarts a target: what its document says, else what the installation does with its own parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OFF = "off"
CLOUD_RUN = "cloud_run"
WEBHOOK = "webhook"


@dataclass(frozen=True)
class InstallationRecovery:
    """`who`: `off`, `cloud_run`, or the URL of a webhook. Connectors are worker pools of `project`, as Terraform names them."""

    who: str = OFF
    project: str = ""

    def of(self, target: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The settings of a target, by its document's fields: `provider` and what that one needs. None: nobody restarts it."""
        own = target.get("recovery")
        if own is not None:
            # A person types it into the Firestore console: what cannot be read restarts nothing.
            return None if not isinstance(own, Mapping) or own.get("provider") == OFF else own
        kind = target.get("kind")
        if self.who == OFF or kind not in ("connector", "api"):
            return None  # What somebody else runs is restarted only if its operator says how.
        if self.who != CLOUD_RUN:
            return {"provider": WEBHOOK, "url": self.who}
        if kind == "api":
            return None  # A function: its platform ends an instance that does not answer by itself.
        pool = f"projects/{self.project}/locations/{target['region']}/workerPools/keepline-{target['connector']}"
        return {"provider": CLOUD_RUN, "resource": pool}


NOBODY_RESTARTS = InstallationRecovery()
