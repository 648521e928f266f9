"""`infra/functions.json`, the one table of Cloud Functions, read and checked. Terraform reads the same file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepline_local.cron import Cron
from keepline_local.errors import LocalError
from keepline_local.paths import repository

USUAL_ACCOUNT = "functions"


@dataclass(frozen=True)
class HttpTrigger:
    """The function answers HTTP requests."""


@dataclass(frozen=True)
class FirestoreTrigger:
    """The function gets an event for each change of a document that matches the pattern."""

    event_type: str
    document: str


@dataclass(frozen=True)
class ScheduleTrigger:
    """The function gets a Pub/Sub message on `topic` at the times of `cron` (UTC)."""

    topic: str
    cron: Cron


@dataclass(frozen=True)
class TopicTrigger:
    """The function gets each Pub/Sub message on `topic`."""

    topic: str


Trigger = HttpTrigger | FirestoreTrigger | ScheduleTrigger | TopicTrigger


@dataclass(frozen=True)
class Function:
    """One Cloud Function: its name in the cloud, the Python function in `functions/main.py`, and what sets it off.

    `account`: the service account that it runs as, in a container of its own. Locally those of one account share a process.
    """

    name: str
    entry_point: str
    trigger: Trigger
    account: str = USUAL_ACCOUNT


_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_EVENT_TYPE = re.compile(r"google\.cloud\.firestore\.document\.v1\.(written|created|updated|deleted)")


def default_path() -> Path:
    return repository() / "infra" / "functions.json"


def load(path: Path | None = None) -> list[Function]:
    """The functions of a table file; `LocalError` names the file and the entry that is wrong."""
    path = path or default_path()
    try:
        table = json.loads(path.read_text())
        entries = table["functions"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocalError(f"{path} is not a table of functions: {error!r}.") from error
    functions: list[Function] = []
    for entry in entries:
        try:
            functions.append(_function(entry))
        except (KeyError, TypeError, ValueError) as error:
            raise LocalError(f"{path}: the function {entry!r} is wrong: {error}.") from error
    names = [function.name for function in functions]
    if len(set(names)) != len(names):
        raise LocalError(f"{path} names a function twice.")
    return functions


def _function(entry: dict[str, Any]) -> Function:
    name, entry_point, trigger = entry["name"], entry["entry_point"], entry["trigger"]
    account = entry.get("deploy", {}).get("service_account", USUAL_ACCOUNT)
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a Cloud Function")
    if not entry_point.isidentifier():
        raise ValueError(f"{entry_point!r} is no name of a Python function")
    return Function(name, entry_point, _trigger(trigger), account)


def _trigger(trigger: dict[str, Any]) -> Trigger:
    match trigger["type"]:
        case "http":
            return HttpTrigger()
        case "firestore":
            if not _EVENT_TYPE.fullmatch(trigger["event_type"]):
                raise ValueError(f"{trigger['event_type']!r} is no event type of Firestore documents")
            return FirestoreTrigger(trigger["event_type"], trigger["document"])
        case "schedule":
            return ScheduleTrigger(trigger["topic"], Cron.parse(trigger["cron"]))
        case "topic":
            return TopicTrigger(trigger["topic"])
        case other:
            raise ValueError(f"{other!r} is no trigger (http, firestore, schedule and topic are)")


def topics(functions: Sequence[Function]) -> dict[str, str]:
    """The Pub/Sub topic of each function that has one, by the function's name."""
    return {f.name: f.trigger.topic for f in functions if isinstance(f.trigger, ScheduleTrigger | TopicTrigger)}
