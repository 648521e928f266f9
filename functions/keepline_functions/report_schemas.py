"""What callers send about daily reports."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from keepline_functions.schemas import Query

REPORTS_DEFAULT, REPORTS_MAX = 30, 100


class OfReports(Query):
    """Whose reports."""

    installation: bool = False
    """The installation's, over all users: for operators."""


class ListReports(OfReports):
    """Query of `GET /api/reports`."""

    limit: int = Field(REPORTS_DEFAULT, ge=1, le=REPORTS_MAX)
    """How many at a time."""
    before: date | None = None
    """Only days before this one; give the `next_before` of one page to get the next."""


class ChangeReportSettings(BaseModel):
    """Body of `PATCH /api/reports/settings`. What is not named stays."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    enabled: bool | None = None
    """Whether the reports are sent to the channels."""
    time_zone: Annotated[str | None, Field(max_length=64)] = None
    """A name of the IANA database: whose days are reported on."""
