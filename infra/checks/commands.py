"""Every command in the README and the documentation can be typed: it is bash; its make targets, modules, scripts, options exist;
and what it asks of the API is a route of the API. Those of "A first message" are run by tests/e2e/test_front_door.py as well."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from flask import Flask
from werkzeug.exceptions import HTTPException

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(?:sh|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`((?:make|python -m|scripts/)[ \w][^`\n]*)`(?!`)")
# Where our own modules are.
_SOURCES = ("core/src", "connector/src", "local/src", "simulator/src", "functions", "clients/python/src", "")
_SEPARATORS = {"|", "||", "&&", ";", "(", ")", "{", "}", "do", "then", "else", "!"}
# What a command may begin with beside ours. Somebody who follows the documentation has these, or is told to get them.
_TOOLS = frozenset(
    """
    ask bash cat cd chmod cp curl cut date docker done echo export fi firebase for gcloud git grep head if install journalctl jq
    ls mkdir mv npm npx openssl pip podman printf python python3 read rm sed set sha256sum sleep sort source ss ssh sudo
    systemctl systemd-analyze tail tar tee terraform test tr until useradd uv while zip
    """.split()  # noqa: SIM905 - a list of words reads better than a column of strings
)


class Command(NamedTuple):
    """One of the documentation's, with where it stands."""

    place: str
    text: str


def documents() -> list[Path]:
    """Every page that somebody may copy a command from."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "clients" / "python" / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def problems() -> list[str]:
    """Every command that cannot be typed as it stands."""
    found: list[str] = []
    for page in documents():
        name, text = str(page.relative_to(ROOT)), page.read_text()
        for block in _FENCE.findall(text):
            found += [f"{name}: {problem}" for problem in _block(block)]
        # Of decisions only what can be copied: they tell of what was, too.
        if "decisions" not in name:
            for inline in _INLINE.findall(text):
                found += [f"{name}: {problem}" for problem in _command(inline.replace("…", ""))]
    return found


def _block(block: str) -> Iterator[str]:
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"this is not bash: {done.stderr.strip()}"
        return
    for line in _lines(block):
        yield from _command(line)


def _lines(block: str) -> Iterator[str]:
    """Each command by itself: continued lines joined, comments gone, what stands in quotes over several lines in one."""
    line = ""
    for one in block.splitlines():
        line = f"{line}\n{one}" if line else one
        if line.endswith("\\"):
            line = line[:-1] + " "
            continue
        if line.count("'") % 2:
            continue
        if line.strip() and not line.lstrip().startswith("#"):
            yield line
        line = ""


def _command(line: str) -> Iterator[str]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return  # Bash understands it, shlex does not (a here-document).
    for one in _each(words):
        rest = one
        while rest and re.match(r"\w+=", rest[0]):
            # `NAME=$(command …)` is a command as well.
            _, inner, command = rest[0].partition("$(")
            rest = [command, *rest[1:]] if inner else rest[1:]
        if rest:
            yield from _one(rest, line)


def _each(words: list[str]) -> Iterator[list[str]]:
    one: list[str] = []
    for word in words:
        if word in _SEPARATORS or word.endswith(";"):
            yield [*one, word.rstrip(";")] if word.endswith(";") and word != ";" else one
            one = []
        else:
            one.append(word)
    yield one


def _one(words: list[str], line: str) -> Iterator[str]:
    program = words[0]
    if program == "make":
        yield from _make(words[1:])
    elif re.search(r"(^|/)python3?$", program) and words[1:2] == ["-m"]:
        yield from _module(words[2:])
    elif program == "curl":
        yield from _curl(words[1:], line)
    elif program.startswith(("scripts/", "./", "examples/", "bench/")):
        yield from _script(program.removeprefix("./"), words[1:])
    elif (
        "/" not in program
        and program not in _TOOLS
        and not program.startswith(("$", "-", ">", "<", "#", "["))
        and not program.endswith("()")
    ):
        yield f"{program} is not a command that is known: {line.strip()[:80]}"


@cache
def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    rings = re.search(r"^RINGS := (.*)$", makefile, re.MULTILINE)
    assert rings is not None
    return {
        *re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE),
        *(f"test-{ring}" for ring in rings[1].split()),
        "test-RING",
    }


def _make(words: list[str]) -> Iterator[str]:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name = word.split("=", 1)[0]
        if "=" in word:
            if not re.search(rf"\$[({{]{name}[)}}:]|\b{name}\b.*\?=", makefile):
                yield f"make does not look at {name}"
        elif not word.startswith("-") and word not in _targets():
            yield f"make has no target {word}"


def _module(words: list[str]) -> Iterator[str]:
    if not words:
        return
    name = words[0]
    for source in _SOURCES:
        path = ROOT / source / name.replace(".", "/")
        for file in (path.with_suffix(".py"), path / "__main__.py"):
            if file.is_file():
                yield from _options(name, file, words[1:])
                return
    # json.tool and pip are Python's own.
    if name.split(".")[0] not in {"json", "pip", "venv", "http", "pytest", "piptools"}:
        yield f"there is no module {name}"


def _script(path: str, words: list[str]) -> Iterator[str]:
    file = ROOT / path
    if not file.is_file():
        yield f"there is no {path}"
    else:
        yield from _options(path, file, words)


def _options(name: str, file: Path, words: list[str]) -> Iterator[str]:
    """Each option and each subcommand's name stands in the program, or in what it is a part of."""
    text = file.read_text()
    if file.name == "__main__.py":
        text += "".join(one.read_text() for one in file.parent.glob("*.py"))
    for word in words:
        option = word.split("=", 1)[0]
        if (
            option != "--help"
            and re.fullmatch(r"--[a-z][\w-]*", option)
            and f'"{option}"' not in text
            and f" {option})" not in text
        ):
            yield f"{name} has no option {option}"


@cache
def _app() -> Flask:
    """The routes of the API, without anything behind them."""
    from tests.functions.described import blank_app

    return blank_app()


def _curl(words: list[str], line: str) -> Iterator[str]:
    url = next((word for word in words if re.match(r"(\$\{?(API|KEEPLINE_URL|URL)\}?|https?://[^/]+)/", word)), None)
    if url is None or "PHONES" in url:
        return
    path = re.sub(r"^(\$\{?\w+\}?|https?://[^/]+)", "", url).split("?")[0]
    host = re.match(r"https?://([^/:]+)", url)
    if host and host[1] not in {"127.0.0.1", "localhost", "example.com"}:
        return
    path = re.sub(r"\$\{?\w+\}?|\{\w+\}|<\w+>", "x", path)
    method = next((words[at + 1] for at, word in enumerate(words[:-1]) if word in {"-X", "--request"}), None)
    method = method or (
        "POST" if any(word in {"-d", "--data", "--data-binary", "-F", "--json"} for word in words) else "GET"
    )
    try:
        _app().url_map.bind("localhost").match(path, method=method)
    except HTTPException:
        yield f"the API has no {method} {path}: {line.strip()[:80]}"
