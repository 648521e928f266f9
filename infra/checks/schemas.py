"""firebase.json and the Cloud Build files fit the schemas of those who read them, and what cloudbuild runs is there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(__file__).with_name("schemas")


def problems() -> list[str]:
    """Everything that a file has and its schema does not know, and steps that cannot run."""
    found = list(_against("firebase-config.json", ROOT / "firebase.json"))
    for file in sorted(ROOT.glob("cloudbuild*.yaml")):
        found += _against("cloudbuild.json", file)
        found += _steps(file)
    return found


def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def _against(schema: str, file: Path) -> Iterator[str]:
    described = json.loads((SCHEMAS / schema).read_text())
    content = _read(file)
    for error in jsonschema.Draft7Validator(described).iter_errors(content):
        yield f"{file.name}: {error.json_path}: {error.message[:200]}"
    # schemastore's lets anything stand at the top; Cloud Build does not.
    for key in sorted(content.keys() - described["properties"].keys() - {"$schema"}):
        yield f"{file.name}: there is no {key}"


def _steps(file: Path) -> Iterator[str]:
    """What the schema cannot say: steps wait for steps that stand before them, scripts are bash, substitutions are declared."""
    content = _read(file)
    declared = set(content.get("substitutions", {}))
    before: set[str] = set()
    for step in content["steps"]:
        name = step.get("id", step["name"])
        yield from (
            f"{file.name}: {name} waits for {one}, which is no step before it"
            for one in step.get("waitFor", [])
            if one not in before | {"-"}
        )
        before.add(name)
        for script in _scripts(step):
            # `$$` is Cloud Build's way to write `$`, and `${_NAME}` what it puts in itself.
            plain = re.sub(r"\$\{_\w+\}", "x", script).replace("$$", "$")
            done = subprocess.run(["bash", "-n"], input=plain, capture_output=True, text=True, check=False)
            if done.returncode:
                yield f"{file.name}: {name}: {done.stderr.strip()}"
    used = set(re.findall(r"(?<!\$)\$\{?(_[A-Z_]+)", file.read_text()))
    yield from (f"{file.name}: {one} is used and not among the substitutions" for one in sorted(used - declared))
    yield from (f"{file.name}: {one} is among the substitutions and not used" for one in sorted(declared - used))


def _scripts(step: dict[str, Any]) -> Iterator[str]:
    if "script" in step:
        yield step["script"]
    if step.get("entrypoint") == "bash":
        yield from (one for one in step.get("args", []) if "\n" in one or " " in one)
