"""What `terraform validate` would find, and what it would not: all that is declared is used, the providers take what is given.

Each function returns sentences about what is wrong; none is good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.checks.terraform import META, Block, Module, load, members, references, texts, unquoted

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "infra" / "terraform"
SCHEMA = Path(__file__).with_name("provider_schema.json")

# What an expression may begin with beside resources: Terraform's own, and the names that `for` and `dynamic` make.
_BUILT_IN = {"each", "path", "count", "self", "terraform"}
_META_BLOCKS = {"lifecycle", "timeouts", "provisioner", "connection"}


def problems() -> list[str]:
    """Everything that is wrong with infra/terraform."""
    modules = load(TERRAFORM)
    schema = json.loads(SCHEMA.read_text())
    found: list[str] = []
    for module in modules.values():
        found += [
            f"{_where(module)}: {text}" for text in (*_declarations(module), *_references(module, modules, schema))
        ]
        found += [f"{_where(module)}: {text}" for text in _resources(module, schema)]
    return found + list(_calls(modules)) + list(_settings(modules[TERRAFORM])) + list(_protection(modules))


def _where(module: Module) -> str:
    return str(module.folder.relative_to(TERRAFORM.parent))


def _used(module: Module, prefix: str) -> set[str]:
    """The names `prefix.NAME` that anything in a module refers to."""
    found = set()
    for _, body in module.bodies:
        for reference in references(body):
            if reference.startswith(f"{prefix}."):
                found.add(re.split(r"[.\[]", reference)[1])
    return found


def _declarations(module: Module) -> Iterator[str]:
    """Variables and locals: used is declared, and declared is used and described."""
    for what, declared in (("var", set(module.variable)), ("local", set(module.local)), ("module", set(module.module))):
        used = _used(module, what)
        yield from (f"{what}.{name} is used and not declared" for name in sorted(used - declared))
        if what != "module":
            yield from (f"{what}.{name} is declared and not used" for name in sorted(declared - used))
    for name, body in module.variable.items():
        yield from (f"variable {name} has no {part}" for part in ("description", "type") if part not in body)
    for name, body in module.output.items():
        if "description" not in body:
            yield f"output {name} has no description"


def _references(module: Module, modules: dict[Path, Module], schema: dict[str, Any]) -> Iterator[str]:
    """Each resource, data source and output of a module that is referred to is there, and has what is asked of it."""
    for place, body in module.bodies:
        made = _made_names(body)
        for reference in references(body):
            first, *rest = [part for part in re.split(r"\.|\[.*?\]", reference) if part]
            if first in _BUILT_IN or first in made or first in {"var", "local"} or not rest:
                continue
            if first == "module":
                called = module.module.get(rest[0])
                if called is not None and len(rest) > 1:
                    target = modules[(module.folder / unquoted(called["source"])).resolve()]
                    if rest[1] not in target.output:
                        yield f"{place}: module.{rest[0]} has no output {rest[1]}"
                continue
            kind, name, *attribute = rest if first == "data" else (first, *rest)
            blocks, key = (module.data, f"data.{kind}") if first == "data" else (module.resource, kind)
            if f"{kind}.{name}" not in blocks:
                if kind.startswith("google_") or first == "data":
                    yield f"{place}: {reference} is not declared"
                elif not _is_of_ignored(reference, body):
                    yield f"{place}: {reference} is not known"
            elif attribute and attribute[0] not in schema[key]["gives"]:
                yield f"{place}: {kind} has no {attribute[0]}"


def _made_names(body: Any) -> set[str]:
    """Names that an expression makes itself: `for x in`, and the iterator of a dynamic block."""
    found: set[str] = set()
    for text in texts(body):
        for one in re.findall(r"\bfor (\w+)(?:, (\w+))? in\b", text):
            found.update(one)
    if isinstance(body, dict):
        found.update(_iterators(body))
    return found


def _iterators(body: dict[str, Any]) -> Iterator[str]:
    for key, value in body.items():
        if key == "dynamic":
            yield from (unquoted(name) for one in value for name in one)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _iterators(one)


def _is_of_ignored(reference: str, body: Any) -> bool:
    """`ignore_changes` names attributes of the resource itself."""
    lifecycles = body.get("lifecycle", []) if isinstance(body, dict) else []
    ignored = [text for one in lifecycles for text in texts(one.get("ignore_changes", []))]
    return any(reference in text for text in ignored)


def _resources(module: Module, schema: dict[str, Any]) -> Iterator[str]:
    """What each resource is given is what its provider takes, and nothing that it must have is missing."""
    for what, prefix in (("resource", ""), ("data", "data.")):
        for block in module.typed(what):
            known = schema.get(f"{prefix}{block.kind}")
            if known is None:
                yield f"{block.kind} is not in provider_schema.json: make it anew"
                continue
            place = f"{block.kind}.{block.name}"
            yield from _arguments(place, block.body, known["arguments"], top=True)
            yield from _ignored(place, block, known["arguments"])


def _arguments(place: str, body: dict[str, Any], known: dict[str, Any], *, top: bool = False) -> Iterator[str]:
    given = set()
    for name, value, as_block in members(body):
        if top and (name in META or name in _META_BLOCKS):
            continue
        given.add(name)
        if name not in known:
            yield f"{place}: there is no argument {name}"
        elif as_block != known[name].get("block", False):
            yield f"{place}: {name} is {'no block' if as_block else 'a block'}"
        elif as_block:
            for one in value:
                yield from _arguments(f"{place}.{name}", one, known[name]["arguments"])
    needed = {name for name, one in known.items() if one.get("required")}
    yield from (f"{place}: {name} is missing" for name in sorted(needed - given))


def _ignored(place: str, block: Block, known: dict[str, Any]) -> Iterator[str]:
    for one in block.body.get("lifecycle", []):
        for text in texts(one.get("ignore_changes", [])):
            inside = known
            for part in re.sub(r"\[\d+\]", "", text.removeprefix("${").removesuffix("}")).split("."):
                if part not in inside:
                    yield f"{place}: ignore_changes names {text}, which it does not have"
                    break
                inside = inside[part].get("arguments", {})


def _calls(modules: dict[Path, Module]) -> Iterator[str]:
    """A module is given what it asks for and no more, and what it gives is taken by somebody."""
    taken: dict[Path, set[str]] = {}
    called: set[Path] = {TERRAFORM}
    for module in modules.values():
        for name, call in module.module.items():
            folder = (module.folder / unquoted(call["source"])).resolve()
            called.add(folder)
            if folder not in modules:
                yield f"{_where(module)}: module {name} is not at {folder.name}"
                continue
            target = modules[folder]
            given = {key for key, _, _ in members(call)} - META - {"source"}
            needed = {key for key, body in target.variable.items() if "default" not in body}
            yield from (f"module {name}: {key} is not a variable of it" for key in sorted(given - set(target.variable)))
            yield from (f"module {name}: {key} is missing" for key in sorted(needed - given))
            for _, body in module.bodies:
                for reference in references(body):
                    parts = [part for part in re.split(r"\.|\[.*?\]", reference) if part]
                    if parts[:2] == ["module", name] and len(parts) > 2:
                        taken.setdefault(folder, set()).add(parts[2])
    for folder, module in modules.items():
        if folder not in called:
            yield f"{_where(module)} is called by nobody"
        elif folder != TERRAFORM:
            unused = set(module.output) - taken.get(folder, set())
            yield from (f"{_where(module)}: output {name} is used by nobody" for name in sorted(unused))


# What `make deploy` gives itself.
GIVEN_BY_DEPLOY = {"project", "regions", "image", "functions_source"}


def _settings(root: Module) -> Iterator[str]:
    """terraform.tfvars.example names every setting, with its default where it has one."""
    example = (TERRAFORM / "terraform.tfvars.example").read_text()
    named = _example_names(example)
    for name, body in root.variable.items():
        if name in GIVEN_BY_DEPLOY:
            continue
        if name not in named:
            yield f"terraform.tfvars.example does not name {name}"
        elif named[name] == ("default" not in body):
            yield f"terraform.tfvars.example: {name} is to be {'commented' if 'default' in body else 'set'}"
    for name in sorted(set(named) - set(root.variable)):
        yield f"terraform.tfvars.example names {name}, which is no variable"


def _example_names(example: str) -> dict[str, bool]:
    """Each name with whether it is commented out."""
    return {name: bool(mark) for mark, name in re.findall(r"^(# )?(\w+) += ", example, re.MULTILINE)}


# What holds what cannot be made again.
_KEPT = {"google_firestore_database", "google_kms_crypto_key", "google_secret_manager_secret"}


def _protection(modules: dict[Path, Module]) -> Iterator[str]:
    """Data cannot be destroyed by a plan, and stands in the module that `make destroy` leaves alone."""
    for module in modules.values():
        for block in module.typed("resource"):
            kept = block.kind in _KEPT or (block.kind, block.name) == ("google_storage_bucket", "media")
            if not kept:
                continue
            if module.folder.name != "data":
                yield f"{block.kind}.{block.name} is not in modules/data, which `make destroy` leaves alone"
            if not any(one.get("prevent_destroy") is True for one in block.body.get("lifecycle", [])):
                yield f"{block.kind}.{block.name} has no prevent_destroy"
