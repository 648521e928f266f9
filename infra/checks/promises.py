"""Every promise has its tests: tests/promises.toml names them by sentence, and docs/architecture.md says the same sentences.

Tests are looked up in the files' syntax, none is run or imported. What a promise loses when it is reworded is the tests that were
written for its words; so whoever changes a sentence on the page has to change the entry in which those tests stand.
"""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
REGISTRY = "tests/promises.toml"
PAGE = "docs/architecture.md"
HEADING = "## The promises"


@dataclass(frozen=True)
class Sentence:
    """A part of a promise that can be broken by itself. `tests`: pytest's node ids."""

    text: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Promise:
    """`faults`: what is done to it while its tests run, in words."""

    number: int
    name: str
    faults: tuple[str, ...]
    sentences: tuple[Sentence, ...]

    @property
    def line(self) -> str:
        """As the page has it."""
        words = " ".join(sentence.text for sentence in self.sentences)
        # A promise of one sentence that begins with its own name is not said twice.
        said = f"**{self.name}** {words[len(self.name) :].lstrip()}" if words.startswith(self.name) else None
        return f"{self.number}. {said or f'**{self.name}.** {words}'}"

    @property
    def tests(self) -> list[str]:
        """Each once, in their order."""
        return list(dict.fromkeys(test for sentence in self.sentences for test in sentence.tests))


def registry(root: Path = ROOT) -> list[Promise]:
    """What tests/promises.toml says."""
    found = tomllib.loads((root / REGISTRY).read_text())
    return [
        Promise(
            one["number"],
            one["name"],
            tuple(one["faults"]),
            tuple(Sentence(sentence["text"], tuple(sentence["tests"])) for sentence in one.get("sentence", [])),
        )
        for one in found["promise"]
    ]


def problems(root: Path = ROOT) -> list[str]:
    """Promises without a test, tests that are not there or that nobody runs, and words that differ from the page's."""
    found = []
    promises, rings = registry(root), _rings(root)
    for promise in promises:
        if not promise.sentences:
            found.append(f"{REGISTRY}: promise {promise.number} says nothing")
        if not promise.faults:
            found.append(f"{REGISTRY}: nothing is done to promise {promise.number}")
        for sentence in promise.sentences:
            if not sentence.tests:
                found.append(f"{REGISTRY}: no test holds {sentence.text!r}")
            found += [f"{REGISTRY}: there is no {test}" for test in sentence.tests if not _exists(root, test)]
            found += [
                f"{REGISTRY}: `make test` does not run {test}" for test in sentence.tests if _ring(test) not in rings
            ]
    said, meant = _lines(root), [promise.line for promise in promises]
    found += [f"{PAGE}: has no tests in {REGISTRY}: {line}" for line in said if line not in meant]
    found += [f"{PAGE}: does not say: {line}" for line in meant if line not in said]
    return found


def _lines(root: Path) -> list[str]:
    """The numbered lines below the heading, each joined to one."""
    _, heading, rest = (root / PAGE).read_text().partition(f"\n{HEADING}\n")
    section = re.split(r"^## ", rest, flags=re.MULTILINE)[0] if heading else ""
    items = re.split(r"^(?=\d+\. )", section, flags=re.MULTILINE)[1:]
    return [" ".join(item.split("\n\n")[0].split()) for item in items]


def _rings(root: Path) -> list[str]:
    """The folders of tests/ that `make test` runs."""
    line = re.search(r"^RINGS := (.+)$", (root / "Makefile").read_text(), flags=re.MULTILINE)
    return line[1].split() if line else []


def _ring(node_id: str) -> str:
    return Path(node_id).parts[1]


def _exists(root: Path, node_id: str) -> bool:
    path, _, name = node_id.partition("::")
    return name in _functions(root / path)


@cache
def _functions(file: Path) -> frozenset[str]:
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))
