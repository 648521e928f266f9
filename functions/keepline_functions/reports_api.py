"""`/api/reports`: what each day was like, and how the reports are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, cast

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.errors import InvalidInput
from keepline.ports.documents import Document
from keepline.records.api_keys import ADMIN, OPERATOR, READ
from keepline.usecases.report_reading import SettingsView
from keepline_functions.auth import caller, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.report_answers import ReportJson, ReportSettingsJson, ReportsJson
from keepline_functions.report_schemas import ChangeReportSettings, ListReports, OfReports
from keepline_functions.schemas import read_body, read_query
from keepline_functions.services import services
from keepline_functions.views import rfc3339

routes = Blueprint("reports", __name__)

_NOT_SHOWN = ("owner", "tenant", "expire_at")
_NOT_IN_LISTS = (*_NOT_SHOWN, "hours", "sessions")


@routes.get("/api/reports")
@needs(READ)
@Described(
    Tag.REPORTS,
    "list_reports",
    "List daily reports",
    query=ListReports,
    answers={200: ReportsJson},
    errors=("session_not_allowed",),
)
def newest() -> ResponseReturnValue:
    """The newest first. With `installation` the operator's, over all users."""
    query = read_query(ListReports, request)
    found = services().run(services().reports.newest(_owner(query), query.limit, query.before))
    shown: ReportsJson = {
        "reports": [_report_json(report, _NOT_IN_LISTS) for report in found],
        "next_before": found[-1].fields["date"] if len(found) == query.limit else None,
    }
    return jsonify(shown)


@routes.get("/api/reports/<day>")
@needs(READ)
@Described(
    Tag.REPORTS,
    "get_report",
    "Look at a day's report",
    query=OfReports,
    answers={200: ReportJson},
    errors=("session_not_allowed", "report_not_found", "bad_date"),
)
def one(day: str) -> ResponseReturnValue:
    """With its hours and sessions. It is made within the hour after the day has ended."""
    query = read_query(OfReports, request)
    try:
        on = date.fromisoformat(day)
    except ValueError:
        raise InvalidInput("bad_date", "That is not a day.", "Write it like 2026-11-21.") from None
    report = services().run(services().reports.look(_owner(query), on))
    return jsonify(_report_json(report, _NOT_SHOWN))


@routes.get("/api/reports/settings")
@needs(READ)
@Described(
    Tag.REPORTS,
    "get_report_settings",
    "Look at how the reports are wanted",
    query=OfReports,
    answers={200: ReportSettingsJson},
    errors=("session_not_allowed",),
)
def settings() -> ResponseReturnValue:
    """Reports are made for everybody; until the settings say otherwise, in UTC."""
    query = read_query(OfReports, request)
    return jsonify(_settings_json(services().run(services().reports.settings(_owner(query)))))


@routes.patch("/api/reports/settings")
@needs(ADMIN)
@Described(
    Tag.REPORTS,
    "change_report_settings",
    "Change how the reports are wanted",
    query=OfReports,
    body=ChangeReportSettings,
    examples={"a time zone": {"time_zone": "Europe/Bucharest"}},
    answers={200: ReportSettingsJson},
    errors=("session_not_allowed", "bad_time_zone", "busy"),
)
def change() -> ResponseReturnValue:
    """They hold from the next report on."""
    query = read_query(OfReports, request)
    body = read_body(ChangeReportSettings, request)
    changing = services().reports.change(_owner(query), enabled=body.enabled, time_zone=body.time_zone)
    return jsonify(_settings_json(services().run(changing)))


def _owner(query: OfReports) -> str | None:
    """Whose reports are meant. Raises Forbidden: they are of all of a user's sessions, or of all users."""
    if query.installation:
        caller().require(OPERATOR)
        return None
    caller().require_all_sessions()
    return caller().tenant


def _report_json(report: Document, hidden: tuple[str, ...]) -> ReportJson:
    shown = {name: _plain(value) for name, value in report.fields.items() if name not in hidden}
    return cast("ReportJson", {"report_id": report.id, "user_id": report.fields["tenant"], **shown})


def _plain(value: Any) -> Any:
    """A field of the document as JSON has it."""
    if isinstance(value, Mapping):
        return {("user_id" if name == "tenant" else name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return rfc3339(value) if isinstance(value, datetime) else value


def _settings_json(view: SettingsView) -> ReportSettingsJson:
    return {
        "enabled": view.settings.enabled,
        "time_zone": view.settings.time_zone,
        "next_report_at": rfc3339(view.next_report_at),
    }
