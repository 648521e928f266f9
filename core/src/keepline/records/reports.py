"""`reports/{owner}_{date}`: what a day was like, for a tenant or for the operator. `report_settings/{owner}`: how they want it.

`owner` is a tenant's user id, or `installation`: the operator's, over all tenants. A report is written once and read by people,
in Firestore's console too; what changes in it later is only whether it was told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from keepline.ports.documents import Create, Document, Query, Update, Version, Where

REPORTS = "reports"
REPORT_SETTINGS = "report_settings"
# No user id can be this: it is what the operator's documents have in a tenant's place.
INSTALLATION = "installation"
DEFAULT_TIME_ZONE = "UTC"
KEPT_DAYS = 400
UNTOLD_MAX = 100


def report_path(tenant: str | None, on: date) -> str:
    return f"{REPORTS}/{owner_of(tenant)}_{on.isoformat()}"


def settings_path(tenant: str | None) -> str:
    return f"{REPORT_SETTINGS}/{owner_of(tenant)}"


def owner_of(tenant: str | None) -> str:
    return INSTALLATION if tenant is None else tenant


@dataclass(frozen=True)
class ReportSettings:
    """Whether somebody is sent their reports, whose days these are, and the last one that has been made."""

    tenant: str | None
    enabled: bool = True
    time_zone: str = DEFAULT_TIME_ZONE
    made_until: date | None = None
    version: Version | None = None

    @classmethod
    def read(cls, tenant: str | None, document: Document | None) -> ReportSettings:
        if document is None:
            return cls(tenant)
        fields = document.fields
        made_until = fields["made_until"]
        return cls(
            tenant,
            fields["enabled"],
            fields["time_zone"],
            date.fromisoformat(made_until) if made_until is not None else None,
            document.version,
        )

    def write(self) -> Create | Update:
        """These settings, on the condition that nobody changed them since they were read."""
        fields = {
            "tenant": self.tenant,
            "enabled": self.enabled,
            "time_zone": self.time_zone,
            "made_until": self.made_until.isoformat() if self.made_until is not None else None,
        }
        path = settings_path(self.tenant)
        return Create(path, fields) if self.version is None else Update(path, fields, self.version)


def new_report(tenant: str | None, on: date, fields: Mapping[str, Any], made_at: datetime, *, state: str) -> Create:
    """A report, and whether somebody is to be told of it (`pending`) or not (`off`). Making it a second time is refused."""
    told = {"state": state, "at": None, "attempts": 0}
    known = {"tenant": tenant, "owner": owner_of(tenant), "date": on.isoformat(), "made_at": made_at}
    return Create(
        report_path(tenant, on), {**known, **fields, "told": told, "expire_at": made_at + timedelta(days=KEPT_DAYS)}
    )


def telling(report: Document, state: str, at: datetime) -> Update:
    """What becomes of telling it: `telling` (somebody does it now), `pending`, `told`, `off` (nobody can be told), `failed`."""
    attempts = report.fields["told"]["attempts"] + (state == "telling")
    told = {"state": state, "at": at, "attempts": attempts}
    return Update(report.path, {"told": told}, report.version)


def reports_told(state: str) -> Query:
    """Reports by the state of their telling."""
    return Query(REPORTS, (Where("told.state", "==", state),), limit=UNTOLD_MAX)


def newest_reports(owner: str, limit: int, before: str | None) -> Query:
    """An owner's reports, the newest first; only those of days before one that is given."""
    where = [Where("owner", "==", owner)]
    if before is not None:
        where.append(Where("date", "<", before))
    return Query(REPORTS, tuple(where), "date", descending=True, limit=limit)
