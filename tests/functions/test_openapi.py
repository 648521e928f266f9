"""The API's description: complete, true to what is answered, with examples that work, and a page that asks nobody else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest

from keepline.records.api_keys import SCOPES
from keepline_functions import openapi
from keepline_functions.describing import description_of

from .described import Description, NotAsDescribed, blank_app
from .seeded import OF_FILES, Seeded
from .support import METRICS_TOKEN, World

ROOT = Path(__file__).parents[2]
APP = blank_app()
DOCUMENT = openapi.document(APP)
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
EXAMPLES = [
    (operation_id, name)
    for operation_id, (_, _, operation) in OPERATIONS.items()
    for name in operation.get("requestBody", {})
    .get("content", {})
    .get("application/json", {})
    .get("examples", {None: 0})
    if operation_id not in OF_FILES
]


def test_every_route_is_described() -> None:
    without = [
        rule.rule for rule in APP.url_map.iter_rules() if description_of(APP.view_functions[rule.endpoint]) is None
    ]
    assert without == [], "give these views a @Described(…)"


def test_every_operation_has_a_name_of_its_own_and_words_that_a_stranger_can_read() -> None:
    routes = sum(len((rule.methods or set()) - {"HEAD", "OPTIONS"}) for rule in APP.url_map.iter_rules())
    assert len(OPERATIONS) == routes
    chapters = {tag["name"] for tag in DOCUMENT["tags"]}
    for operation_id, (_, _, operation) in OPERATIONS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation_id)
        assert operation["summary"]
        assert set(operation["tags"]) <= chapters
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (operation_id, parameter["name"])
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or body["examples"], operation_id


def test_shapes_have_names_for_people() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name)
        assert schema["description"], name


def test_the_description_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["version"] in (ROOT / "functions" / "pyproject.toml").read_text()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_an_answer_that_is_not_as_described_is_noticed(world: World) -> None:
    described = Description(world.process.app)
    answer = world.get("/health")
    described.hold("GET", "/health", answer)
    strict = described.operation("GET", "/health")
    assert strict is not None
    for planted in ({"required": ["region"]}, {"properties": {"status": {"const": "good"}}}):
        strict["responses"]["200"]["content"]["application/json"]["schema"] = planted
        with pytest.raises(NotAsDescribed):
            described.hold("GET", "/health", answer)
    del strict["responses"]["200"]
    with pytest.raises(NotAsDescribed):
        described.hold("GET", "/health", answer)


def test_an_answers_example_is_one_that_is_described() -> None:
    for operation_id, (_, _, operation) in OPERATIONS.items():
        for said in operation["responses"].values():
            for content in said.get("content", {}).values():
                examples = [content["example"]] if "example" in content else []
                for reference in content.get("examples", {}).values():
                    code = reference["$ref"].rpartition("/")[2]
                    examples.append(DOCUMENT["components"]["examples"][code]["value"])
                schema = {**content.get("schema", {}), "components": DOCUMENT["components"]}
                validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
                for example in examples:
                    assert not list(validator.iter_errors(example)), operation_id


@pytest.mark.parametrize(("operation_id", "name"), EXAMPLES)
def test_an_example_works(world: World, monkeypatch: pytest.MonkeyPatch, operation_id: str, name: str | None) -> None:
    method, path, operation = OPERATIONS[operation_id]
    seeded = Seeded(world, monkeypatch, operation_id)
    query: dict[str, Any] = {}
    headers = world.add_key("anna", SCOPES)
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(seeded.named(parameter["example"])))
        elif parameter["in"] == "query" and "example" in parameter:
            query[parameter["name"]] = parameter["example"]
        elif "example" in parameter:
            headers[parameter["name"]] = seeded.named(parameter["example"])
    body = None
    if name is not None:
        body = seeded.named(operation["requestBody"]["content"]["application/json"]["examples"][name]["value"])
    if operation["security"] == [{"MetricsToken": []}]:
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    answer = world.client.open(path, method=method, query_string=query, json=body, headers=headers)
    assert answer.status_code in (200, 201, 202, 204), answer.text


def test_the_description_is_for_everybody_and_sent_once(world: World) -> None:
    for path in ("/openapi.json", "/docs", "/docs/style.css"):
        answer = world.get(path, {})
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        again = world.get(path, {"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
    assert world.get("/openapi.json", {}).get_json() == DOCUMENT


def test_the_page_has_no_script_and_asks_no_other_host(world: World) -> None:
    answer = world.get("/docs", {})
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self';")
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    loaded = re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', answer.text)
    assert loaded == ["/docs/style.css"]
    assert "url(" not in world.get("/docs/style.css", {}).text


def test_the_page_shows_every_operation_error_and_shape_and_its_links_lead_somewhere(world: World) -> None:
    text = world.get("/docs", {}).text
    there = set(re.findall(r' id="([^"]+)"', text))
    assert set(OPERATIONS) <= there
    assert {f"error-{code}" for code in DOCUMENT["components"]["examples"]} <= there
    assert {f"shape-{name}" for name in DOCUMENT["components"]["schemas"]} <= there
    assert set(re.findall(r'href="#([^"]+)"', text)) <= there
