"""Each permission that the code uses has its role, and nobody has a role that nothing needs: infra/permissions.toml held to the
code (calls of Google's clients, by their syntax) and to infra/terraform (every `…_iam_member`)."""

from __future__ import annotations

import ast
import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import grimp

from infra.checks.terraform import Block, Module, load, texts, unquoted
from infra.checks.terraform_rules import TERRAFORM

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "infra" / "permissions.toml"
FUNCTIONS = ROOT / "infra" / "functions.json"
# Where code runs as one of the service accounts.
DEPLOYED = ("core/src/keepline", "functions", "connector/src", "infra/canary")
# Whoever imports one of these has a client of Google's, or treats its errors.
_CLIENTS = ("google.cloud", "google.api_core")
# Which accounts a package runs as.
_RUNS_AS = {"keepline_connector": {"connector"}, "keepline_functions": {"functions", "watch"}}


class Grant(NamedTuple):
    """An account has a role on something."""

    account: str
    on: str
    role: str


class Need(NamedTuple):
    """An account must be able to do something to something."""

    account: str
    on: str
    permission: str


def problems() -> list[str]:
    """Everything that does not fit."""
    table = tomllib.loads(TABLE.read_text())
    functions = json.loads(FUNCTIONS.read_text())["functions"]
    return [
        *_code(table),
        *_accounts(table),
        *_roles(table, set(grants(load(TERRAFORM), functions))),
    ]


# The code


def _code(table: dict[str, Any]) -> Iterator[str]:
    """Every file with a client is in the table, and its calls are those of the table."""
    listed = {one["path"]: one for one in table.get("file", [])}
    found = {str(file.relative_to(ROOT)): file for file in _files()}
    yield from (
        f"permissions.toml does not have {path}, which uses a Google client"
        for path in sorted(found.keys() - listed.keys())
    )
    yield from (
        f"permissions.toml has {path}, which uses no Google client" for path in sorted(listed.keys() - found.keys())
    )
    called: dict[str, set[str]] = {}
    for path in sorted(found.keys() & listed.keys()):
        library = listed[path]["library"]
        known = table["library"][library]
        calls = _calls(found[path]) & _methods(library, known["clients"])
        called.setdefault(library, set()).update(calls)
        yield from (
            f"permissions.toml: {library} does not have {call}, which {path} calls"
            for call in sorted(calls - known["calls"].keys())
        )
    for library, known in table["library"].items():
        for call in sorted(known["calls"].keys() - called.get(library, set())):
            yield f"permissions.toml: {library} has {call}, which nobody calls"


def _files() -> Iterator[Path]:
    for folder in DEPLOYED:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if any(name.startswith(_CLIENTS) for name in _imports(ast.parse(file.read_text()))):
                yield file


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _calls(file: Path) -> set[str]:
    """The names of all methods that a file calls, of whatever."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}


def _methods(library: str, clients: list[str]) -> set[str]:
    """What a library's clients can be asked."""
    module = importlib.import_module(library)
    return {name for client in clients for name in dir(getattr(module, client)) if not name.startswith("_")}


@cache
def _imported() -> grimp.ImportGraph:
    """Who imports whom, in all that is deployed."""
    return grimp.build_graph("keepline", *_RUNS_AS)


def _accounts(table: dict[str, Any]) -> Iterator[str]:
    """Who imports a file's module runs it: its accounts are named, and no other."""
    graph = _imported()
    # What a release runs is no package of ours; what it imports it imports itself.
    released = {
        name for file in (ROOT / "infra" / "canary").glob("*.py") for name in _imports(ast.parse(file.read_text()))
    }
    for one in table.get("file", []):
        if not one["path"].startswith("core/src/"):
            continue
        module = one["path"].removeprefix("core/src/").removesuffix(".py").replace("/", ".")
        named = {use["account"] for use in one["use"]}
        may: set[str] = {"release"} if module in released else set()
        for package, accounts in _RUNS_AS.items():
            if graph.chain_exists(importer=package, imported=module, as_packages=True):
                may |= accounts
                if not named & accounts:
                    yield f"permissions.toml: {one['path']} is run by {package}, whose account is not named"
        yield from (f"permissions.toml: {one['path']} is not run as {account}" for account in sorted(named - may))


# Terraform


def grants(modules: dict[Path, Module], functions: list[dict[str, Any]]) -> Iterator[Grant]:
    """Every role that is given, with `for_each` worked out."""
    for module in modules.values():
        for block in module.typed("resource"):
            if block.kind.endswith("_iam_member"):
                yield from _granted(block, module, modules, functions)


def _granted(
    block: Block, module: Module, modules: dict[Path, Module], functions: list[dict[str, Any]]
) -> Iterator[Grant]:
    role, member = unquoted(block.body["role"]), block.body["member"]
    for each in _each(block, functions):
        given = each["value"] if role == "${each.value}" else role
        yield Grant(_account(member, each, module, modules), _thing(block, each), given)


def _each(block: Block, functions: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What `each` is, in turn. Where it comes from functions.json, from there."""
    source = block.body.get("for_each")
    if source is None:
        return [{}]
    if (strings := re.findall(r'"([\w/.-]+)"', " ".join(texts(source)))) and "toset([" in " ".join(texts(source)):
        return [{"value": one} for one in strings]
    deploys = [(one, one.get("deploy", {})) for one in functions]
    if "var.secret_readers" in source:
        return [
            {"secret": secret, "account": deploy.get("service_account", "functions")}
            for _, deploy in deploys
            for secret in deploy.get("secrets", {}).values()
        ]
    if "local.publishers" in source:
        return [
            {"topic": one["trigger"]["topic"], "account": account}
            for one, deploy in deploys
            if one["trigger"]["type"] == "topic"
            for account in deploy.get("publishers", ["functions"])
        ]
    if "local.functions" in source:
        kinds = {one["trigger"]["type"] == "http" for one in functions}
        return [{"account": "everybody" if http else "events"} for http in kinds]
    if "var.repositories" in source:
        return [{}]
    if "google_pubsub_topic.dead" in source:
        return [{"account": "Pub/Sub itself"}]
    raise ValueError(f"{block.kind}.{block.name}: for_each is not understood")


def _account(member: str, each: dict[str, str], module: Module, modules: dict[Path, Module]) -> str:
    if "account" in each:
        return each["account"]
    if named := re.search(r'local\.members\["(\w+)"\]', member):
        return named[1]
    if "local.members[each.value]" in member:
        return each["value"]
    if variable := re.search(r"serviceAccount:\$\{var\.(\w+)\}", member):
        given = next(
            call[variable[1]]
            for one in modules.values()
            for call in one.module.values()
            if (one.folder / unquoted(call["source"])).resolve() == module.folder
        )
        found = re.search(r'module\.access\.accounts\["(\w+)"\]', given)
        if found:
            return found[1]
    raise ValueError(f"{member} is not understood")


_THINGS = {
    "google_project_iam_member": "project",
    "google_artifact_registry_repository_iam_member": "repository",
    "google_cloud_run_v2_worker_pool_iam_member": "pool",
    "google_cloud_run_service_iam_member": "function",
    "google_pubsub_subscription_iam_member": "dead letters",
}
_BY_VARIABLE = {
    "var.session_key": "key sessions",
    "var.webhook_key": "key webhooks",
    "var.media_bucket": "bucket media",
    "var.source_bucket": "bucket source",
}


def _thing(block: Block, each: dict[str, str]) -> str:
    if block.kind in _THINGS:
        return _THINGS[block.kind]
    if block.kind == "google_secret_manager_secret_iam_member":
        return f"secret {each['secret']}"
    if block.kind == "google_pubsub_topic_iam_member":
        return f"topic {each['topic']}" if "topic" in each else "dead letters"
    if block.kind == "google_service_account_iam_member":
        name = block.body["service_account_id"]
        named = re.search(r'account\["(\w+)"\]', name)
        return f"account {named[1] if named else each['value']}"
    target = block.body.get("crypto_key_id", block.body.get("bucket", ""))
    return _BY_VARIABLE[target.removeprefix("${").removesuffix("}")]


# Both together


def _needs(table: dict[str, Any]) -> Iterator[Need]:
    for one in table.get("file", []):
        calls = table["library"][one["library"]]["calls"]
        own = _calls(ROOT / one["path"]) if (ROOT / one["path"]).is_file() else set()
        for use in one["use"]:
            for call in use.get("calls", sorted(own & calls.keys())):
                yield from (Need(use["account"], use["on"], permission) for permission in calls.get(call, []))
    for one in table.get("beside", []):
        yield from (Need(one["account"], one["on"], permission) for permission in one["permissions"])


def _roles(table: dict[str, Any], granted: set[Grant]) -> Iterator[str]:
    """Needed is granted, and granted is needed, by code or by what Google does for us."""
    roles: dict[str, list[str]] = table["roles"]
    needed = set(_needs(table))
    platform = {Grant(one["account"], one["on"], one["role"]) for one in table.get("platform", [])}
    for need in sorted(needed):
        if not any(
            (one.account, one.on) == (need.account, need.on) and need.permission in roles.get(one.role, [])
            for one in granted
        ):
            yield f"{need.account} needs {need.permission} on {need.on}, and infra/terraform gives it no role that has it"
    for one in sorted(granted - platform):
        if not any((one.account, one.on) == need[:2] and need.permission in roles.get(one.role, []) for need in needed):
            yield f"infra/terraform gives {one.account} {one.role} on {one.on}, and nothing needs it"
    for one in sorted(platform - granted):
        yield f"permissions.toml says that {one.account} has {one.role} on {one.on}; infra/terraform does not give it"
    given = {one.role for one in granted - platform}
    yield from (
        f"permissions.toml describes {role}, which no code needs"
        for role in sorted(roles.keys() - given - {one.role for one in platform})
    )
