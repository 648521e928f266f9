"""Makes provider_schema.json: what each type of resource that infra/terraform uses takes and gives, as its provider has it.

No Terraform provider can be asked without Terraform, but npm has the bindings that HashiCorp generated from the providers' own
schemas (`@cdktf/provider-google` and `@cdktf/provider-google-beta` 16.12.1 are those of version 6.50.0). To make it anew:

    npm pack @cdktf/provider-google@16.12.1 @cdktf/provider-google-beta@16.12.1
    (unpack each into a folder)
    python -m infra.checks.provider_schema FOLDER_OF_GOOGLE/package FOLDER_OF_BETA/package

Each entry: `arguments`, by name `{"block": true, "required": true, "arguments": {…}}` (the first two where they hold, the last of
a block or an object); and `gives`, the names of all that others may refer to.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from infra.checks.terraform import load

SCHEMA = Path(__file__).with_name("provider_schema.json")
TERRAFORM = Path(__file__).parents[1] / "terraform"

_STRUCT = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(
    r"^ +(\w+): \{\n +value: (.*?\b(?:struct\.|this\._)(\w+).*?),\n +isBlock: (true|false),", re.MULTILINE
)
_INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_MEMBER = re.compile(r"^    readonly (\w+)(\??):", re.MULTILINE)
_GIVEN = re.compile(r"(?:get\w+Attribute\(|(?:List|Map|OutputReference)\(this, )[\"'](\w+)[\"']")


def _folder(package: Path, kind: str) -> Path:
    """`google_kms_key_ring` is lib/kms-key-ring in the one package and lib/google-kms-key-ring in the other."""
    name = kind.replace("_", "-")
    for folder in (name, name.removeprefix("google-")):
        if (package / "lib" / folder / "index.js").is_file():
            return package / "lib" / folder
    raise SystemExit(f"{package} does not have {kind}")


def _describe(package: Path, kind: str) -> dict[str, Any]:
    folder = _folder(package, kind)
    script, types = ((folder / name).read_text() for name in ("index.js", "index.d.ts"))
    interfaces = {
        name: {member: not mark for member, mark in _MEMBER.findall(body)} for name, body in _INTERFACE.findall(types)
    }
    structs = dict(_STRUCT.findall(script))

    def arguments(body: str, required: dict[str, bool]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value, member, block in _ENTRY.findall(body):
            entry: dict[str, Any] = {"block": True} if block == "true" else {}
            if required.get(member):
                entry["required"] = True
            if nested := re.search(r"(\w+)ToHclTerraform\b", re.sub(r"cdktf\.\w+ToHclTerraform", "", value)):
                struct = nested[1]
                interface = struct[0].upper() + struct[1:]
                entry["arguments"] = arguments(structs[struct], interfaces[interface])
            found[name] = entry
        return found

    top = script[script.index("synthesizeHclAttributes()") :]
    config = next(members for name, members in interfaces.items() if name.endswith("Config") and name in _config(types))
    own = script[script.rindex("class ") :]
    taken = arguments(top, config)
    return {"arguments": taken, "gives": sorted({*taken, *_GIVEN.findall(own)})}


def _config(types: str) -> set[str]:
    """The interface of the resource itself: the one that has Terraform's meta-arguments."""
    return set(re.findall(r"export interface (\w+) extends cdktf\.TerraformMetaArguments", types))


def main(google: Path, beta: Path) -> None:
    """Write down every type that the configuration names."""
    found: dict[str, Any] = {}
    for module in load(TERRAFORM).values():
        for block in module.typed("resource"):
            found[block.kind] = _describe(beta if block.provider == "google-beta" else google, block.kind)
        for block in module.typed("data"):
            package = beta if block.provider == "google-beta" else google
            found[f"data.{block.kind}"] = _describe(package, f"data_{block.kind}")
    text = json.dumps(found, sort_keys=True, separators=(",", ":"))
    SCHEMA.write_text(re.sub(r'(^\{|\},)("(?:data\.)?google_\w+":\{"arguments")', r"\1\n\2", text) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
