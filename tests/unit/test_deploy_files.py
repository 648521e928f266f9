"""What is deployed fits the code: Firestore's indexes, the security rules' names, hosting, the build."""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml

import keepline.records
from infra.checks.dockerfile import Stage, read_dockerfile
from keepline.domain.alert_rules import Condition, Rule
from keepline.domain.alerts import Alert, Told
from keepline.domain.compaction import SavedVersion
from keepline.domain.content.bodies import text_content
from keepline.domain.content.files import File
from keepline.domain.content.references import MessageRef
from keepline.domain.events import EventKind, Severity
from keepline.domain.link_events import MessageHeard, NoticeHeard
from keepline.domain.pacing import PacingMemory
from keepline.domain.sealing import SegmentKind
from keepline.domain.webhook_policy import DeliveryState
from keepline.ports.documents import Fields, Query, Sentinel, Where
from keepline.records import (
    alerts,
    changes,
    connectors,
    contacts,
    heard_media,
    history,
    live_events,
    media,
    monitoring,
    notices,
    outbox,
    rate_limits,
    session_docs,
    webhooks,
    witness,
)
from keepline.records.contacts import CheckedContact
from keepline.records.heard_media import MediaFate, MediaState
from keepline.records.outbox import NewMessage
from keepline.usecases.limiting import MESSAGES

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "src" / "keepline"
NOW = datetime(2026, 1, 1, tzinfo=UTC)

# An argument for each type that a query function takes; what may be None is tried with and without.
ARGUMENTS: dict[str, list[Any]] = {
    "str": ["x"],
    "int": [10],
    "datetime": [NOW],
    "str | None": [None, "x"],
    "datetime | None": [None, NOW],
    "DeliveryState | None": [None, DeliveryState.DEAD],
    "DeliveryState": [DeliveryState.DEAD],
    "EventKind | None": [None, EventKind.DOUBT],
    "list[str]": [["x"]],
    "tuple[str, ...]": [("x",)],
}
RANGES = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Index:
    """A composite index, as infra/firestore.indexes.json has it."""

    collection: str
    scope: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Single:
    """An index of one field. Firestore makes those of scope COLLECTION by itself; COLLECTION_GROUP must be asked for."""

    collection: str
    scope: str
    field: str


# The queries that the code makes


def query_functions() -> Iterator[Callable[..., Query]]:
    """Every function of keepline.records that returns a Query."""
    for module in pkgutil.iter_modules(keepline.records.__path__):
        for _, function in inspect.getmembers(
            importlib.import_module(f"keepline.records.{module.name}"), inspect.isfunction
        ):
            if function.__annotations__.get("return") == "Query":
                yield function


def queries() -> Iterator[Query]:
    """Every query, in every combination of what may be left out."""
    for function in query_functions():
        calls: list[list[Any]] = [[]]
        for parameter in inspect.signature(function).parameters.values():
            calls = [[*call, value] for call in calls for value in ARGUMENTS[parameter.annotation]]
        for call in calls:
            yield function(*call)


def collection_of(query: Query) -> str:
    return query.collection.rpartition("/")[2]


def scope_of(query: Query) -> str:
    return "COLLECTION_GROUP" if query.group else "COLLECTION"


def needs(query: Query) -> Index | list[Single]:
    """What Firestore must have to answer a query (its documentation, "Index types").

    Equalities (`in` is several of them) on one collection are answered by merging the indexes of the single fields. An order
    or a range beside them, or equalities on a collection group, take a composite index: the equalities first, then the order.
    """
    equal = [where.field for where in query.where if where.op not in RANGES]
    ranged = {where.field for where in query.where if where.op in RANGES}
    last = query.order_by or next(iter(ranged), None)
    assert ranged <= {last}, f"a range on another field than the order: {query}"
    fields = equal if last is None else [*equal, last]
    if len(fields) <= 1 or (last is None and not query.group):
        return [Single(collection_of(query), scope_of(query), field) for field in fields]
    direction = "DESCENDING" if query.descending else "ASCENDING"
    ordered = tuple((field, direction if field == last else "ASCENDING") for field in fields)
    return Index(collection_of(query), scope_of(query), ordered)


def needed() -> tuple[set[Index], set[Single]]:
    composite: set[Index] = set()
    single: set[Single] = set()
    for query in queries():
        found = needs(query)
        if isinstance(found, Index):
            composite.add(found)
        else:
            single.update(found)
    return composite, single


# What the console's listeners ask (web/app/queries.js), always for the user's own documents: collection, scope, fields, order.
CONSOLE_QUERIES = [
    ("outbox", "COLLECTION", ("tenant", "account"), "accepted_at"),
    ("outbox", "COLLECTION", ("tenant", "account", "chat"), "accepted_at"),
    ("outbox", "COLLECTION", ("tenant", "account", "state"), "accepted_at"),
    ("messages", "COLLECTION_GROUP", ("tenant", "account"), "at"),
    ("messages", "COLLECTION_GROUP", ("tenant", "account", "chat"), "at"),
]


def needed_by_the_console() -> set[Index]:
    return {
        Index(collection, scope, (*((field, "ASCENDING") for field in equal), (order, "DESCENDING")))
        for collection, scope, equal, order in CONSOLE_QUERIES
    }


def test_every_query_is_built_where_this_test_finds_it() -> None:
    built: dict[str, int] = {}
    for file in CORE.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        count = sum(isinstance(call.func, ast.Name) and call.func.id == "Query" for call in calls)
        if count:
            layer = file.relative_to(CORE).parts[0]
            built[layer] = built.get(layer, 0) + count
    assert built == {"records": len(list(query_functions()))}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("a", (Where("x", "==", 1), Where("y", "in", [1])), limit=1), {"x", "y"}),
        (Query("a", (Where("x", "<", 1),), "x", descending=True, limit=1), {"x"}),
        (Query("a", (Where("x", "==", 1),), "y", limit=1), (("x", "ASCENDING"), ("y", "ASCENDING"))),
        (Query("a", (Where("x", "==", 1), Where("y", ">", 1)), limit=1), (("x", "ASCENDING"), ("y", "ASCENDING"))),
        (Query("a", (Where("x", "==", 1),), "y", descending=True, limit=1), (("x", "ASCENDING"), ("y", "DESCENDING"))),
    ],
)
def test_what_a_query_needs(query: Query, expected: object) -> None:
    found = needs(query)
    assert (found.fields if isinstance(found, Index) else {single.field for single in found}) == expected


# What is declared


def declared() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "infra" / "firestore.indexes.json").read_text())
    return found


def overrides() -> dict[tuple[str, str], list[dict[str, str]]]:
    return {(one["collectionGroup"], one["fieldPath"]): one["indexes"] for one in declared()["fieldOverrides"]}


def test_the_composite_indexes_are_those_that_the_queries_need() -> None:
    found = {
        Index(
            one["collectionGroup"],
            one["queryScope"],
            tuple((field["fieldPath"], field["order"]) for field in one["fields"]),
        )
        for one in declared()["indexes"]
    }
    assert len(found) == len(declared()["indexes"]), "an index is declared twice"
    assert found == needed()[0] | needed_by_the_console()


def test_single_fields_of_collection_groups_are_declared() -> None:
    found = {
        Single(collection, index["queryScope"], field)
        for (collection, field), indexes in overrides().items()
        for index in indexes
    }
    single = needed()[1]
    assert {one for one in found if one.scope == "COLLECTION_GROUP"} == {
        one for one in single if one.scope == "COLLECTION_GROUP"
    }
    # An override replaces the automatic indexes of its field, so it names what the queries need of those as well.
    assert {one for one in found if one.scope == "COLLECTION"} == {
        one for one in single if one.scope == "COLLECTION" and (one.collection, one.field) in overrides()
    }


def is_sequential(value: Any) -> bool:
    """Whether a field's values rise with time; a map or list counts when anything in it does."""
    if isinstance(value, dict):
        return any(map(is_sequential, value.values()))
    if isinstance(value, list):
        return any(map(is_sequential, value))
    return isinstance(value, datetime) or value is Sentinel.SERVER_TIME


def is_opaque(value: Any) -> bool:
    """Whether a field holds bytes, which nobody ever asks for by their value."""
    return any(map(is_opaque, value.values())) if isinstance(value, dict) else isinstance(value, bytes)


def written() -> Iterator[tuple[str, Fields]]:
    """A document of each collection in which many are written, with everything in it that can be."""
    row = NewMessage("m", "t", "t_s", "s", "1", text_content("x"), "h", send_at=NOW, expires_at=NOW)
    yield "outbox", outbox.new_row(row).fields
    yield "rate_limits", rate_limits.use("t", MESSAGES, 0, NOW, None).fields
    heard = MessageHeard(1, "W", "1@s.whatsapp.net", "1", None, False, "text", "hello", NOW)
    yield "messages", history.heard_message("t_s", "t", "s", heard).fields
    notice = NoticeHeard(1, "group.update", "1@g.us", "1", NOW, {"by": None, "changes": {"subject": "x"}})
    yield "notices", notices.new_notice("t_s", "t", "s", notice).fields
    for collection, name in (("messages", "i_x"), ("outbox", "m_x")):
        message = MessageRef(name, "W", "1@s.whatsapp.net")
        yield collection, changes.edited("t_s", message, "E", "new", NOW).fields
        yield collection, changes.revoked("t_s", message, NOW).fields
    yield (
        "send_authority",
        outbox.Authority("t_s", 1, "c", "a", 1, {"1": ("m",)}, {"1": NOW}, pacing=PacingMemory((NOW,))).write().fields,
    )
    yield "messages", heard_media.settled("t_s", "1@s.whatsapp.net", "W", MediaFate(MediaState.STORED)).fields
    yield "media", media.kept("t", "s", File("f_x", None, "image/png", 1, "ab"), "inbound", NOW).fields
    devices = {"d": connectors.DeviceBeat("tcp", 1, 1, NOW)}
    beater = connectors.Beater("c", "r", "p", 3.0, 200, NOW, NOW)
    yield "connectors", beater.write_beat(1, devices, stopping=False, version=None).fields
    yield "witness", witness.ask("t_s", "b", "1-1", {"m": b"tag"}).fields
    question = witness.Question("t_s", "b", "1-1", {}, None, {}, NOW)
    yield "witness", witness.answer(question, {"m": "W"}).fields
    saved = SavedVersion(version=1, sequence=1, chunks=1, bytes=1, saved_at=NOW)
    yield "whatsapp_sessions", session_docs.Head("t", "t_s", "a", b"key", "c", 1, (saved,)).write().fields
    segment = session_docs.Segment(1, 1, SegmentKind.ROWS, b"sealed")
    yield "segments", session_docs.new_segment("t_s", "a", segment).fields
    lane = webhooks.Lane("w", "l_x", 1, NOW, NOW, NOW, 1, NOW, NOW, "h")
    yield "lanes", lane.write().fields
    yield "lanes", live_events.write_lane("t", lane, NOW).fields
    envelope = {"id": "e", "type": "message", "timestamp": "2026", "session_id": "s", "data": {}}
    yield "events", live_events.new_entry("t", lane, 0, envelope, None, NOW).fields
    yield "deliveries", delivery_fields()
    yield "monitoring", monitoring.event(EventKind.DOUBT, "n", at=NOW, subject="t_s").fields
    condition = Condition(Rule.SESSION_BANNED, "t_s", "t", "s")
    alert = Alert("k", 1, condition, Severity.CRITICAL, NOW, NOW, clear_since=NOW, closed_at=NOW, acknowledged_at=NOW)
    yield "alerts", alerts.new_alert(replace(alert, told={"c": Told(NOW)})).fields
    yield "contacts", contacts.checked("t", "t_s", "1", CheckedContact("1", "2", True, None, NOW)).fields
    yield "snapshots", session_docs.new_chunk("t_s", "a", b"sealed", version=1, chunk=0, chunks=1, sequence=1).fields


def delivery_fields() -> Fields:
    """A delivery when it was tried, over what it was before."""
    lane = webhooks.Lane("w", "l_x")
    new = webhooks.new_delivery(lane, 0, {"id": "e", "type": "message", "session_id": "s"}, None, "{}", NOW)
    delivery = webhooks.Delivery(
        *("w", "e", "message", "s", None, "l_x", 0, "{}", DeliveryState.PENDING, 0, NOW, None, ())
    )
    return {**new.fields, **webhooks.tried(delivery, {"at": NOW}, DeliveryState.DEAD, NOW).fields}


def test_fields_that_no_query_needs_are_not_indexed_where_many_documents_are_written() -> None:
    """An index on what rises with time takes 500 writes a second at most in a collection (Firestore, "Best practices")."""
    unasked = {
        (collection, field)
        for collection, fields in written()
        for field, value in fields.items()
        if is_sequential(value) or is_opaque(value)
    }
    needed_alone = {(one.collection, one.field) for one in needed()[1]}
    # Long texts cost an index entry that no query reads; these maps have new keys at every write.
    others = {
        ("commands", "arguments"),
        ("commands", "result"),
        ("outbox", "content"),
        ("messages", "content"),
        ("outbox", "body_hash"),
        ("outbox", "origin"),
        ("messages", "text"),
        ("messages", "seq"),
        ("deliveries", "body"),
        ("uptime", "recent"),
        ("uptime", "today"),
        ("days", "expire_at"),
        ("gaps", "expire_at"),
        ("outages", "expire_at"),
        ("recoveries", "expire_at"),
        ("events", "data"),
        ("notices", "said"),
        ("send_authority", "claims"),
        ("pool", "places"),
        ("witness", "asked"),
        ("witness", "seen"),
        ("reports", "expire_at"),
    }
    exempt = {place for place, indexes in overrides().items() if not indexes}
    assert exempt == (unasked - needed_alone) | others


# Which records say from when on a document of which collection is worth nothing.
AGEING = {
    "alerts": {"alerts"},
    "contacts": {"contacts"},
    "live_events": {"events", "lanes"},
    "monitoring": {"monitoring"},
    "notices": {"notices"},
    "recoveries": {"recoveries"},
    "reports": {"reports"},
    "uptime": {"days", "gaps", "outages"},
    "webhooks": {"deliveries"},
}


def test_what_ages_is_removed_by_firestore() -> None:
    """A field that says from when on its document is worth nothing (TTL)."""
    writing = set()
    for file in (CORE / "records").glob("*.py"):
        texts = (node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant))
        if "expire_at" in texts:
            writing.add(file.stem)
    assert writing == AGEING.keys()
    found = {(one["collectionGroup"], one["fieldPath"]) for one in declared()["fieldOverrides"] if one.get("ttl")}
    assert found == {("rate_limits", "whole_at")} | {(one, "expire_at") for one in set().union(*AGEING.values())}


def test_the_rules_name_collections_that_exist() -> None:
    rules = (ROOT / "infra" / "firestore.rules").read_text()
    named = set(re.findall(r"match /(?:\{\w+=\*\*\}/)?(\w+)/", rules)) - {"databases"}
    assert named == {
        "outbox",
        "messages",
        "accounts",
        "live",
        "uptime",
        "recovering",
        "account_secrets",
        "pairing",
        "monitoring",
        "alerts",
        "reports",
    }
    # Whatever else is in there, a browser never writes, and secrets are not its to read.
    assert set(re.findall(r"allow ([\w, ]*write[\w, ]*): if (.*);", rules)) == {
        ("write", "false"),
        ("read, write", "false"),
    }


# Hosting


def hosting() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "firebase.json").read_text())["hosting"]
    return found


def test_hosting_passes_the_api_on_to_the_function_that_is_deployed() -> None:
    functions = {one["name"] for one in json.loads((ROOT / "infra" / "functions.json").read_text())["functions"]}
    rewrites = {one["source"]: one["function"]["functionId"] for one in hosting()["rewrites"]}
    # Not /metrics: behind Hosting each answer would be of whichever instance it met.
    pages = ("/health", "/health/*", "/diagnostics/*", "/reconnect/*", "/openapi.json", "/docs", "/docs/*")
    assert rewrites == dict.fromkeys(("/api/**", *pages), "api")
    assert set(rewrites.values()) <= functions


def test_the_content_security_policy_lets_in_the_pages_that_are_there() -> None:
    headers = {
        one["key"]: one["value"] for rule in hosting()["headers"] if rule["source"] == "**" for one in rule["headers"]
    }
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    styles: set[str] = set()
    for page in (ROOT / hosting()["public"]).rglob("*.html"):
        html = page.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", html), f"{page} has a script of its own"
        assert not re.search(r"\sstyle=|\son\w+=", html), f"{page} has a style or handler in an attribute"
        for style in re.findall(r"<style>(.*?)</style>", html, re.DOTALL):
            styles.add(f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'")
    assert set(policy["style-src"].split()) - {"'self'"} == styles, "firebase.json names the hash of each <style>"


def test_the_paths_in_firebase_json_exist() -> None:
    firestore = json.loads((ROOT / "firebase.json").read_text())["firestore"]
    for path in (firestore["rules"], firestore["indexes"], hosting()["public"]):
        assert (ROOT / path).exists(), path


# The build


def build_steps() -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())["steps"]
    return steps


def test_the_build_deploys_every_function_of_the_table() -> None:
    """It reads the table itself: what is run here is that part of the step."""
    (step,) = [one for one in build_steps() if one["id"] == "release-functions"]
    script = step["args"][-1].replace("$$", "$").replace("${_REGION}", "europe-west1").replace("${_DEPLOY}", "all")
    gcloud = 'gcloud() { echo "$3 $8 $7"; }\n'
    done = subprocess.run(["bash", "-euc", gcloud + script], cwd=ROOT, capture_output=True, text=True, check=True)
    table = json.loads((ROOT / "infra" / "functions.json").read_text())["functions"]
    assert done.stdout.splitlines() == [
        f"{one['name']} --source=dist/functions --entry-point={one['entry_point']}" for one in table
    ]
    assert f"python{step_python()}" in script


def step_python() -> str:
    """The version that the image of connectors has, so that both run what was tested together."""
    found = re.search(r"python:(\d+)\.(\d+)", dockerfile()[0].base)
    assert found is not None
    return found[1] + found[2]


def test_a_build_that_is_to_deploy_nothing_does_not() -> None:
    """The first one, before there is anything to release to."""
    for step in build_steps():
        if step["id"].startswith("release-"):
            script = step["args"][-1].replace("$$", "$").replace("${_DEPLOY}", "none")
            done = subprocess.run(
                ["/bin/bash", "-euc", script], env={"PATH": ""}, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), step["id"]


def test_nothing_is_released_before_everything_was_tested_and_scanned() -> None:
    waits = {one["id"]: set(one.get("waitFor", ())) for one in build_steps()}

    def before(step: str) -> set[str]:
        return waits[step] | {earlier for one in waits[step] - {"-"} for earlier in before(one)}

    assert {"check-and-test", "scan", "build-functions", "push-connector"} <= before("release-connectors")
    assert "release-connectors" in before("release-functions")


def test_the_scripts_of_the_builds_are_ones_that_bash_can_read() -> None:
    for file in ("cloudbuild.yaml", "cloudbuild.rebuild.yaml"):
        for step in yaml.safe_load((ROOT / file).read_text())["steps"]:
            script = step["args"][-1].replace("$$", "$")
            done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{step['id']}: {done.stderr}"


def dockerfile() -> list[Stage]:
    return read_dockerfile((ROOT / "connector" / "Dockerfile").read_text())


def test_the_image_is_built_from_the_lock_with_hashes_and_does_not_run_as_root() -> None:
    built, last = dockerfile()
    runs = " ".join(one.text for one in built.all("RUN"))
    assert "uv export --quiet --locked --no-dev" in runs
    assert "--require-hashes" in runs
    user = last.one("USER").text.split(":")
    assert all(number.isdigit() and int(number) > 0 for number in user), "a platform can see that it is not root"
    assert last.one("HEALTHCHECK").command()[0] == "python"
    # What uv needs to judge the lock: the manifest of every member of the workspace.
    members = re.search(r"members = \[(.*?)\]", (ROOT / "pyproject.toml").read_text())
    assert members is not None
    copied = {word for one in built.all("COPY") for word in one.text.split()[:-1]}
    assert {f"{member}/pyproject.toml" for member in re.findall(r'"([\w/]+)"', members[1])} <= copied
    # The version of uv is that of everybody else.
    pinned = re.search(r"^UV_VERSION=(\S+)$", (ROOT / "scripts" / "bootstrap").read_text(), re.MULTILINE)
    assert pinned is not None
    assert f"uv=={pinned[1]}" in runs
    assert f"uv=={pinned[1]}" in (ROOT / "cloudbuild.yaml").read_text()


def test_the_settings_that_the_image_sets_are_the_connectors() -> None:
    settings = (ROOT / "connector" / "src" / "keepline_connector" / "settings.py").read_text()
    names = {name for one in dockerfile()[-1].all("ENV") for name in re.findall(r"(KEEPLINE_\w+)=", one.text)}
    assert names
    assert all(f'"{name}"' in settings for name in names)


def test_what_the_image_copies_is_let_in_by_its_ignore_file() -> None:
    rules = (ROOT / "connector" / "Dockerfile.dockerignore").read_text().splitlines()
    assert rules[1] == "*", "only what is named"
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]
    for stage in dockerfile():
        for one in stage.all("COPY"):
            for source in one.text.split()[:-1] if "from" not in one.flags else []:
                assert any(PurePath(source).match(rule) or source.startswith(f"{rule}/") for rule in let_in), source


def test_the_library_in_the_lock_is_the_one_whose_hash_is_listed() -> None:
    """The list is changed with the version, by who has looked at both."""
    listed = dict(reversed(line.split()) for line in (ROOT / "connector" / "neonize.sha256").read_text().splitlines())
    assert set(listed) == {"neonize-linux-amd64.so", "neonize-linux-arm64.so"}
    folder = Path(str(importlib.util.find_spec("neonize").submodule_search_locations[0]))  # type: ignore[union-attr, index]
    (here,) = folder.glob("*.so")
    assert listed[here.name] == hashlib.sha256(here.read_bytes()).hexdigest()
