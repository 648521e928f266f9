"""JSON Schemas of what requests and answers hold, made by pydantic and named for people, and an example of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

REFERENCE = "#/components/schemas/"
_DEPTH_MAX = 12


class _Named(GenerateJsonSchema):
    """pydantic's schemas without what says nothing: titles of fields, and what the names of shapes say to us alone."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def normalize_name(self, name: str) -> str:
        return _public(super().normalize_name(name))

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]  # null is what a field that is left out is like, everywhere.
        return found


class Schemas:
    """The schemas of these shapes and of all that they are made of."""

    def __init__(self, bodies: Iterable[Any], answers: Iterable[Any]) -> None:
        shapes: dict[Any, JsonSchemaMode] = dict.fromkeys(bodies, "validation")
        for answer in answers:
            shapes.update((shape, "serialization") for shape in (answer, *_bases(answer)))
        inputs: Any = [(shape, mode, TypeAdapter(shape)) for shape, mode in shapes.items()]
        found, rest = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE + "{model}", schema_generator=_Named)
        self._of = {shape: found[shape, mode] for shape, mode in shapes.items()}
        self.components: dict[str, Any] = rest["$defs"]
        for shape in shapes:
            self._inherit(shape)
        for schema in self.components.values():
            schema.pop("title", None)

    def of(self, shape: Any) -> dict[str, Any]:
        """The schema of a shape: a reference for one with a name."""
        return dict(self._of[shape])

    def example(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        """Something that this schema describes: what it gives as an example, or what its parts come to."""
        if "examples" in schema:
            return schema["examples"][0]
        if "$ref" in schema:
            return self.example(self.components[schema["$ref"].removeprefix(REFERENCE)], depth)
        if depth > _DEPTH_MAX:
            raise ValueError(f"a shape without an end: {schema}")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0], depth + 1)
        match schema.get("type"):
            case "object":
                wanted = {name: schema["properties"][name] for name in schema.get("required", ())}
                return {name: self.example(inner, depth + 1) for name, inner in wanted.items()}
            case "array":
                return [self.example(schema["items"], depth + 1)]
            case "boolean":
                return True
            case "integer" | "number":
                return 1
        return "2026-11-21T10:47:45.437Z" if schema.get("format") == "date-time" else "…"

    def _inherit(self, shape: Any) -> None:
        """Descriptions of fields that a shape has from another one: pydantic reads those of its own alone."""
        fields = self.components.get(_public(getattr(shape, "__name__", "")), {}).get("properties", {})
        for base in _bases(shape):
            known = self.components[_public(base.__name__)]["properties"]
            for name in fields.keys() & known.keys():
                if "description" in known[name]:
                    fields[name].setdefault("description", known[name]["description"])


def _bases(shape: Any) -> list[Any]:
    """The shapes that a TypedDict extends, the nearest first."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return []
    own = [base for base in getattr(shape, "__orig_bases__", ()) if hasattr(base, "__total__")]
    return [*own, *(further for base in own for further in _bases(base))]


def _public(name: str) -> str:
    """`Poll` for the PollJson of answers, `PollInput` for the _Poll of a body."""
    return f"{name[1:]}Input" if name.startswith("_") else name.removesuffix("Json")
