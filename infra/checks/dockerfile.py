"""A Dockerfile as data: its stages and their instructions. Only the words that ours uses.

The syntax is that of the Dockerfile reference (docs.docker.com/reference/dockerfile): comments, lines that go on after a
backslash, flags, the JSON form of commands, `$NAME` and `${NAME}`.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

_WORDS = ("ARG", "FROM", "ENV", "RUN", "COPY", "WORKDIR", "USER", "VOLUME", "HEALTHCHECK", "STOPSIGNAL", "CMD")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class BadDockerfile(Exception):
    """A line that this reader does not know. The message quotes it."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: `RUN`, `--from=build`, and the text that follows, on one line."""

    word: str
    flags: dict[str, str]
    text: str

    def command(self) -> list[str]:
        """The words of a CMD, or of HEALTHCHECK's, in the JSON form. The other form starts a shell, which takes the signals."""
        words = json.loads(self.text.removeprefix("CMD "))
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise BadDockerfile(self.text)
        return words


@dataclass
class Stage:
    """A stage: the image that it begins with, its name (`AS build`) and its instructions."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [one for one in self.instructions if one.word == word]

    def one(self, word: str) -> Instruction:
        """The last of its kind, which is the one that counts."""
        return self.all(word)[-1]


def read_dockerfile(text: str) -> list[Stage]:
    """The stages, first to last. Raises BadDockerfile."""
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in _logical_lines(text):
        word, _, rest = line.partition(" ")
        if word not in _WORDS:
            raise BadDockerfile(line)
        flags, rest = _flags(rest.strip())
        if word == "FROM":
            words = substitute(rest, arguments).split()
            if len(words) not in (1, 3):
                raise BadDockerfile(line)
            stages.append(Stage(words[0], words[2] if len(words) == 3 else ""))
        elif not stages:
            if word != "ARG":
                raise BadDockerfile(line)
            arguments.update(assignments(rest))
        else:
            stages[-1].instructions.append(Instruction(word, flags, rest))
    if not stages:
        raise BadDockerfile("no FROM")
    return stages


def assignments(text: str) -> dict[str, str]:
    """`A=1 B="two"` of ARG and ENV."""
    return {name: value for name, _, value in (word.partition("=") for word in shlex.split(text))}


def substitute(text: str, variables: dict[str, str]) -> str:
    """`$NAME` and `${NAME}` by their values; what is not known is empty, as Docker has it."""
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


def _logical_lines(text: str) -> list[str]:
    lines: list[str] = []
    going_on = False
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        part = line.rstrip()
        ends = not part.endswith("\\")
        part = part.removesuffix("\\").strip()
        if going_on:
            lines[-1] += " " + part
        else:
            lines.append(part)
        going_on = not ends
    return lines


def _flags(text: str) -> tuple[dict[str, str], str]:
    flags = {}
    while found := re.match(r"--([\w-]+)=(\S+)\s+", text):
        flags[found[1]] = found[2]
        text = text[found.end() :]
    return flags, text
