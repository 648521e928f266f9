"""Every function of functions/main.py is deployed, and nothing else; what functions.json says of one is what Terraform
understands; and each setting that Terraform gives is one that the code reads."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.checks.terraform import load, texts, unquoted
from infra.checks.terraform_rules import TERRAFORM

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "infra" / "functions.json"
# Each kind of trigger with what it must say of itself.
_TRIGGERS = {
    "http": {"type"},
    "firestore": {"type", "event_type", "document"},
    "topic": {"type", "topic"},
    "schedule": {"type", "topic", "cron"},
}
# Of others, who read it themselves: functions-framework.
_OTHERS_SETTINGS = {"THREADS"}


def problems() -> list[str]:
    """Everything that does not fit."""
    table = json.loads(TABLE.read_text())["functions"]
    return [*_entry_points(table), *_entries(table), *_rewrites(table), *_environment(table)]


def _entry_points(table: list[dict[str, Any]]) -> Iterator[str]:
    listed = {one["entry_point"] for one in table}
    tree = ast.parse((ROOT / "functions" / "main.py").read_text())
    written = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any("functions_framework" in ast.unparse(decorator) for decorator in node.decorator_list)
    }
    yield from (f"functions.json does not deploy {name} of functions/main.py" for name in sorted(written - listed))
    yield from (
        f"functions.json deploys {name}, which functions/main.py does not have" for name in sorted(listed - written)
    )


def _entries(table: list[dict[str, Any]]) -> Iterator[str]:
    known = _deploy_keys()
    accounts = set(re.findall(r"^    (\w+) += \"", (TERRAFORM / "modules/access/main.tf").read_text(), re.MULTILINE))
    names = [one["name"] for one in table]
    topics = [one["trigger"]["topic"] for one in table if "topic" in one["trigger"]]
    yield from (
        f"functions.json has {name} twice" for name in sorted({name for name in names if names.count(name) > 1})
    )
    yield from (
        f"functions.json has two functions for {one}"
        for one in sorted({one for one in topics if topics.count(one) > 1})
    )
    for one in table:
        trigger, deploy = one["trigger"], one.get("deploy", {})
        if set(trigger) != _TRIGGERS.get(trigger["type"]):
            yield f"functions.json: the trigger of {one['name']} is not one that Terraform makes"
        yield from (
            f"functions.json: {one['name']}: Terraform does not know deploy.{key}"
            for key in sorted(set(deploy) - known)
        )
        named = {deploy.get("service_account", "functions"), *deploy.get("publishers", [])}
        yield from (
            f"functions.json: {one['name']}: there is no account {account}" for account in sorted(named - accounts)
        )
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", one["name"]):
            yield f"functions.json: {one['name']} is no name for a function"
        # Pub/Sub waits for a push for 10 minutes at most, and an event's function has 9 (Cloud Run functions, "Quotas").
        limit = 3600 if trigger["type"] == "http" else 540
        if deploy.get("timeout_s", 60) > limit:
            yield f"functions.json: {one['name']} may take {limit} s at most"


def _deploy_keys() -> set[str]:
    """What modules/functions has a default for."""
    main = (TERRAFORM / "modules" / "functions" / "main.tf").read_text()
    defaults = re.search(r"deploy = merge\(\{\n(.*?)\}, try", main, re.DOTALL)
    assert defaults is not None
    return set(re.findall(r"^ +(\w+) +=", defaults[1], re.MULTILINE))


def _rewrites(table: list[dict[str, Any]]) -> Iterator[str]:
    """Hosting passes on to functions that there are."""
    names = {one["name"] for one in table if one["trigger"]["type"] == "http"}
    for rewrite in json.loads((ROOT / "firebase.json").read_text())["hosting"]["rewrites"]:
        function = rewrite.get("function", {}).get("functionId")
        if function is not None and function not in names:
            yield f"firebase.json: {rewrite['source']} goes to {function}, which is no function of HTTP"


def _environment(table: list[dict[str, Any]]) -> Iterator[str]:
    given = {
        "functions": {key for one in table for key in one.get("deploy", {}).get("secrets", {})},
        "connector": set(),
    }
    root = load(TERRAFORM)[TERRAFORM]
    for name, read in given.items():
        read |= {unquoted(key) for key in root.module[name]["environment"] if not key.startswith("__")}
    body = (
        load(TERRAFORM)[TERRAFORM / "modules" / "functions"].resource["google_cloudfunctions2_function.function"].body
    )
    given["functions"] |= set(re.findall(r"\b([A-Z][A-Z_]+) +[=:]", " ".join(texts(body)))) - {"RETRY_POLICY_RETRY"}
    for name, folders in (("functions", ("functions", "core/src")), ("connector", ("connector/src", "core/src"))):
        read_there = {
            found
            for folder in folders
            for file in (ROOT / folder).rglob("*.py")
            for found in re.findall(r"[\"']([A-Z][A-Z_]+)[\"']", file.read_text())
        }
        for variable in sorted(given[name] - read_there - _OTHERS_SETTINGS):
            yield f"infra/terraform gives {name} {variable}, which the code does not read"
