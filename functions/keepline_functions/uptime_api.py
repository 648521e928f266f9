"""`/api/uptime`: what is watched and how it has been, for operators; add, change and remove targets by URL."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import OPERATOR
from keepline_functions.auth import needs
from keepline_functions.describing import Described, Tag
from keepline_functions.schemas import read_body
from keepline_functions.services import services
from keepline_functions.uptime_answers import TargetJson, TargetStoryJson, UptimeJson
from keepline_functions.uptime_schemas import AddTarget, ChangeTarget
from keepline_functions.uptime_views import story_json, target_json, uptime_json

routes = Blueprint("uptime", __name__)

_SETTING_ERRORS = ("bad_target_url", "target_url_not_allowed", "bad_target", "bad_header", "bad_pace")
_SEALING_ERRORS = ("no_sealing_key", "key_unavailable")


@routes.get("/api/uptime")
@needs(OPERATOR)
@Described(Tag.UPTIME, "get_uptime", "See all that is watched", answers={200: UptimeJson})
def everything() -> ResponseReturnValue:
    """Each target's present state, its uptime in the last 24 hours, 7, 30 and 90 days, and its error budget."""
    return jsonify(uptime_json(services().run(services().uptime.look_at_all())))


@routes.get("/api/uptime/<target_id>")
@needs(OPERATOR)
@Described(
    Tag.UPTIME,
    "get_target_uptime",
    "See what is on record of a target",
    answers={200: TargetStoryJson},
    errors=("target_not_found",),
)
def story(target_id: str) -> ResponseReturnValue:
    """Its last 90 days, their response times, and its outages."""
    return jsonify(story_json(services().run(services().uptime.story(target_id))))


@routes.post("/api/uptime/targets")
@needs(OPERATOR)
@Described(
    Tag.UPTIME,
    "add_target",
    "Have an address watched",
    body=AddTarget,
    examples={"a shop": {"name": "Shop", "url": "https://shop.example.com/health"}},
    answers={201: TargetJson},
    errors=(*_SETTING_ERRORS, *_SEALING_ERRORS, "target_limit_reached", "target_not_found"),
)
def add() -> ResponseReturnValue:
    """Its first check comes within a minute."""
    wanted = read_body(AddTarget, request).wanted()
    return jsonify(target_json(services().run(services().uptime.add(wanted)))), 201


@routes.patch("/api/uptime/targets/<target_id>")
@needs(OPERATOR)
@Described(
    Tag.UPTIME,
    "change_target",
    "Change how a target is watched",
    body=ChangeTarget,
    examples={"switch it off": {"enabled": False}, "look more often": {"settings": {"interval_s": 3}}},
    answers={200: TargetJson},
    errors=(
        *_SETTING_ERRORS,
        *_SEALING_ERRORS,
        "secrets_unreadable",
        "target_not_found",
        "target_is_ours",
        "busy",
    ),
)
def change(target_id: str) -> ResponseReturnValue:
    """What is not there stays. It holds within a minute."""
    changes = read_body(ChangeTarget, request).changes()
    return jsonify(target_json(services().run(services().uptime.change(target_id, changes))))


@routes.delete("/api/uptime/targets/<target_id>")
@needs(OPERATOR)
@Described(
    Tag.UPTIME,
    "delete_target",
    "Stop watching an address",
    answers={204: None},
    errors=("target_not_found", "target_is_ours", "busy"),
)
def delete(target_id: str) -> ResponseReturnValue:
    """What is on record of it is not shown any more."""
    services().run(services().uptime.remove(target_id))
    return Response(status=204)
