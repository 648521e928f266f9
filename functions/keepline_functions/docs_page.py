"""The API's description as a page for people: one HTML document and a style sheet, without JavaScript and without other hosts."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from keepline_functions.openapi_schemas import REFERENCE

# Nothing but the style sheet beside it: no script, no image, no font, no frame, no form.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_STYLE = Path(__file__).parent / "templates" / "docs.css"


@dataclass(frozen=True)
class _Operation:
    """A request of the description: `said` is what it says of it."""

    method: str
    path: str
    said: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.said["operationId"])

    @property
    def scope(self) -> str:
        """Who may ask it, in a few words."""
        needs = self.said["security"]
        if not needs:
            return "for everybody"
        if {} in needs:
            return "for everybody; more with a key"
        scopes = next(iter(needs[0].values()))
        return f"scope {scopes[0]}" if scopes else "for the operator"

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The schema of its body and its examples."""
        found: Mapping[str, Any] | None = self.said.get("requestBody", {}).get("content", {}).get("application/json")
        return found

    @property
    def answers(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return ((status, said) for status, said in self.said["responses"].items() if int(status) < 400)

    @property
    def errors(self) -> Iterator[tuple[str, str]]:
        """The status and the code of each."""
        for status, said in self.said["responses"].items():
            if int(status) >= 400:
                for code in said["content"]["application/json"]["examples"]:
                    yield status, code

    @property
    def curl(self) -> str:
        """A command that asks it, with the addresses and the key as the README sets them."""
        path, query = self.path, {}
        for parameter in self.said.get("parameters", ()):
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(parameter["example"], safe="@"))
            elif parameter["in"] == "query" and parameter["required"]:
                query[parameter["name"]] = parameter["example"]
        words = ["curl -sS"] + ([f"-X {self.method}"] if self.method not in ("GET", "POST") else [])
        words.append(f'"$API{path}{"?" + urlencode(query) if query else ""}"')
        if self.said["security"]:
            words.append(
                '-H "X-Api-Key: $KEY"' if self.scope != "for the operator" else '-H "Authorization: Bearer $TOKEN"'
            )
        if self.body is not None:
            example = next(iter(self.body["examples"].values()))["value"]
            words.append('-H "Content-Type: application/json"')
            words.append(f"-d {shlex.quote(json.dumps(example, ensure_ascii=False))}")
        elif "requestBody" in self.said:
            words.append("--data-binary @file")
        elif self.method == "POST":
            words.append("-X POST")
        return " ".join(words)


def render(document: Mapping[str, Any]) -> str:
    """The page of this description."""
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(prose=_prose, inline=_with_code, kind=_kind, json=_json, shape=_shape)
    operations = [
        _Operation(method.upper(), path, said)
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    ]
    chapters = [
        (tag, [operation for operation in operations if tag["name"] in operation.said["tags"]])
        for tag in document["tags"]
    ]
    return environment.get_template("docs.html").render(
        document=document, chapters=chapters, components=document["components"]
    )


def style() -> bytes:
    """The page's style sheet."""
    return _STYLE.read_bytes()


def _prose(text: str) -> Markup:
    """Paragraphs, with what stands between backticks as code."""
    paragraphs = [_with_code(paragraph) for paragraph in text.split("\n\n")]
    return Markup("\n").join(Markup("<p>{}</p>").format(paragraph) for paragraph in paragraphs)


def _with_code(text: str) -> Markup:
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _shape(schema: Mapping[str, Any]) -> str | None:
    """The name of the shape that a schema refers to."""
    reference = schema.get("$ref")
    return reference.removeprefix(REFERENCE) if reference else None


def _kind(schema: Mapping[str, Any]) -> Markup:
    """What a field holds, in a few words."""
    name = _shape(schema)
    if name is not None:
        return Markup('<a href="#shape-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return Markup(", ").join(Markup("<code>{}</code>").format(one) for one in schema["enum"])
    if "const" in schema:
        return Markup("<code>{}</code>").format(schema["const"])
    match schema.get("type"):
        case "array":
            return Markup("list of {}").format(_kind(schema["items"]))
        case "object" if isinstance(inner := schema.get("additionalProperties"), Mapping):
            return Markup("map of {}").format(_kind(inner))
        case "string" if schema.get("format") == "date-time":
            return Markup("time")
        case "integer" | "number" | "string":
            return escape(" ".join([_WORDS[schema["type"]], *_bounds(schema)]))
    return escape(schema.get("type", "anything"))


_WORDS = {"integer": "whole number", "number": "number", "string": "text"}
_BOUNDS = {
    "minimum": "from {}",
    "maximum": "to {}",
    "minLength": "of at least {}",
    "maxLength": "of at most {} characters",
}


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, words in _BOUNDS.items():
        if name in schema and (name, schema[name]) != ("minLength", 1):
            yield words.format(schema[name])
