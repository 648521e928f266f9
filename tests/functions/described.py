"""The API's description as a test: whoever asks the API through this client has each answer held to what is said of its route."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, cast

import jsonschema_rs
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from keepline_functions import openapi
from keepline_functions.app import create_app


class NotAsDescribed(AssertionError):
    """An answer of the API is not what its description says."""


class Description:
    """The description of an app, stricter than what is published: an answer has no field that is not described."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.document = openapi.document(app)
        self._strict = copy.deepcopy(self.document)
        for name, schema in self._strict["components"]["schemas"].items():
            if schema.get("type") == "object" and "properties" in schema and name != "Error":
                schema.setdefault("additionalProperties", False)
        error = self._strict["components"]["schemas"]["Error"]
        error["additionalProperties"] = error["properties"]["error"]["additionalProperties"] = False
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """What is said of a request like this; None where nothing answers it."""
        try:
            rule, _ = self.app.url_map.bind("keepline").match(path, method, return_rule=True)
        except HTTPException:
            return None
        template = rule.rule.replace("<", "{").replace(">", "}")
        found: dict[str, Any] | None = self._strict["paths"].get(template, {}).get(method.lower())
        if found is None:
            raise NotAsDescribed(f"{method} {template} is not described: give its view a @Described(…)")
        return found

    def hold(self, method: str, path: str, answer: TestResponse) -> None:
        """Raise NotAsDescribed unless this answer is one that is described."""
        operation = self.operation(method, path)
        if operation is None:
            return
        where = f"{operation['operationId']} answered {answer.status_code}"
        said = operation["responses"].get(str(answer.status_code))
        if said is None:
            raise NotAsDescribed(f"{where}, which is not described: {answer.text}")
        undescribed = {name for name, _ in answer.headers if _is_ours(name)} - set(said["headers"])
        if undescribed:
            raise NotAsDescribed(f"{where} with headers that are not described: {undescribed}")
        content = said.get("content", {})
        if not content:
            if answer.data:
                raise NotAsDescribed(f"{where} with a body, and none is described")
            return
        if answer.mimetype not in content and "*/*" not in content:
            raise NotAsDescribed(f"{where} with {answer.mimetype}, and described is {list(content)}")
        if answer.mimetype == "application/json":
            self._hold_json(where, content[answer.mimetype]["schema"], answer.get_json())

    def _hold_json(self, where: str, schema: Mapping[str, Any], value: Any) -> None:
        key = json.dumps(schema, sort_keys=True)
        validator = self._validators.get(key)
        if validator is None:
            whole = {**schema, "components": self._strict["components"]}
            validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
            self._validators[key] = validator
        for error in validator.iter_errors(value):
            raise NotAsDescribed(f"{where}, and {'.'.join(map(str, error.instance_path))}: {error.message}")


def _is_ours(header: str) -> bool:
    """Whether a header says something about the API, and not about the message that carries the answer."""
    return header.lower() not in ("content-type", "content-length", "cache-control", "date", "x-content-type-options")


class DescribedClient(FlaskClient):
    """A client that holds every answer to the description."""

    description: Description

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        answer = super().open(*args, **kwargs)
        request = answer.request
        if request.method != "HEAD":
            self.description.hold(request.method, request.path, answer)
        return answer


def blank_app() -> Flask:
    """The API's routes with nothing behind them: enough to be described."""
    return create_app(cast("Any", None))


_descriptions: dict[frozenset[str], Description] = {}


def described_client(app: Flask) -> DescribedClient:
    """A client of an app. Apps with the same routes have the same description, which takes a while to make."""
    routes = frozenset(rule.rule for rule in app.url_map.iter_rules())
    if routes not in _descriptions:
        _descriptions[routes] = Description(app)
    client = DescribedClient(app)
    client.description = _descriptions[routes]
    return client
