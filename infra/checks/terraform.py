"""Reads infra/terraform as Terraform would, as far as that goes without Terraform.

python-hcl2 gives blocks as dictionaries, where a string is either `"in quotes"` or an expression `${…}`. Here they become modules
with typed blocks, and the references that an expression makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hcl2

_REFERENCE = re.compile(r"(?<![\w.])([a-z][\w-]*(?:\.[a-z_][\w-]*|\[[^\]]*\])+)")
_INTERPOLATION = re.compile(r"\$\{")
# What python-hcl2 adds to a block beside what stands in it.
_MARKS = {"__is_block__", "__comments__", "__inline_comments__", "__start_line__", "__end_line__"}
# What Terraform itself gives every resource and module.
META = {"for_each", "count", "provider", "depends_on", "lifecycle"}


def unquoted(text: str) -> str:
    """`"name"` as name."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


@dataclass(frozen=True)
class Block:
    """`resource "kind" "name" { body }` or `data …`."""

    kind: str
    name: str
    body: dict[str, Any]
    file: Path

    @property
    def provider(self) -> str:
        """`google`, unless it names another one."""
        return str(self.body.get("provider", "google")).removeprefix("${").removesuffix("}")


@dataclass
class Module:
    """A folder of .tf files. Each kind of block by its name; those of resources and data by `kind.name`."""

    folder: Path
    resource: dict[str, Block] = field(default_factory=dict)
    data: dict[str, Block] = field(default_factory=dict)
    variable: dict[str, dict[str, Any]] = field(default_factory=dict)
    output: dict[str, dict[str, Any]] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    module: dict[str, dict[str, Any]] = field(default_factory=dict)
    # All bodies, with where they stand, for whoever looks for references.
    bodies: list[tuple[str, Any]] = field(default_factory=list)

    def typed(self, what: str) -> Iterator[Block]:
        """The blocks `resource` or `data`."""
        yield from (self.resource if what == "resource" else self.data).values()


def load(root: Path) -> dict[Path, Module]:
    """Every module below a folder, by its own."""
    found: dict[Path, Module] = {}
    for file in sorted(root.rglob("*.tf")):
        module = found.setdefault(file.parent, Module(file.parent))
        with file.open() as stream:
            _add(module, hcl2.load(stream), file)
    return found


def _add(module: Module, content: dict[str, Any], file: Path) -> None:
    for what in ("resource", "data"):
        for one in content.get(what, []):
            for kind, named in _pairs(one):
                for name, body in _pairs(named):
                    block = Block(kind, name, body, file)
                    getattr(module, what)[f"{kind}.{name}"] = block
                    module.bodies.append((f"{what} {kind}.{name}", body))
    for what in ("variable", "output", "module"):
        for one in content.get(what, []):
            for name, body in _pairs(one):
                getattr(module, what)[name] = body
                module.bodies.append((f"{what} {name}", body))
    for one in content.get("locals", []):
        for name, value in _pairs(one):
            module.local[name] = value
            module.bodies.append((f"local {name}", value))
    for what in ("provider", "terraform"):
        module.bodies.extend((what, one) for one in content.get(what, []))


def _pairs(block: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in block.items():
        if key not in _MARKS:
            yield unquoted(key), value


def members(body: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """What stands in a block: name, value, and whether it is written as a block. A dynamic block is those that it makes."""
    for name, value in _pairs(body):
        blocks = isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "__is_block__" in value[0]
        if name == "dynamic":
            for one in value:
                for made, inner in _pairs(one):
                    yield made, inner["content"], True
        else:
            yield name, value, blocks


def texts(value: Any) -> Iterator[str]:
    """Every string in a value, with its quotes or as an expression."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in _pairs(value):
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def references(value: Any) -> Iterator[str]:
    """What the expressions in a value refer to, as they write it: `var.project`, `google_x.name["a"].id`."""
    for text in texts(value):
        for begin in _INTERPOLATION.finditer(text):
            # One that stands in a string within another is met by itself.
            yield from _REFERENCE.findall(_without_strings(text, begin.end()))


def _without_strings(text: str, begin: int) -> str:
    """The expression that begins there, to the brace that closes it; of its strings only the quotes."""
    kept, place, depth = [], begin, 1
    while place < len(text):
        if text[place] == '"':
            kept.append('""')
            place = _after_string(text, place + 1)
            continue
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            break
        kept.append(text[place])
        place += 1
    return "".join(kept)


def _after_string(text: str, place: int) -> int:
    """Where a string ends whose first character is there, with expressions and strings inside of it passed over."""
    depth = 0
    while place < len(text):
        if text[place] == "\\":
            place += 2
            continue
        if text.startswith("${", place):
            depth += 1
            place += 1
        elif depth and text[place] == "}":
            depth -= 1
        elif text[place] == '"':
            if not depth:
                return place + 1
            place = _after_string(text, place + 1)
            continue
        place += 1
    return place
