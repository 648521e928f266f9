"""What scripts/deploy and scripts/destroy must know and the shell cannot work out.

terraform show -json | python -m infra.running image|source|regions|key-location
python -m infra.running secrets|new-secret NAME|archive FOLDER
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FUNCTIONS = Path(__file__).with_name("functions.json")
# The oldest moment that a zip can tell of: the same files make the same archive, whenever they were written.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def resources(state: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    """The values of every resource of a type, in all modules, as `terraform show -json` has them."""

    def below(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from (one["values"] for one in module.get("resources", []) if one["type"] == kind)
        for child in module.get("child_modules", []):
            yield from below(child)

    yield from below(state.get("values", {}).get("root_module", {}))


def image(state: dict[str, Any]) -> str:
    """The image of the connectors, or nothing where there are none yet."""
    pools = resources(state, "google_cloud_run_v2_worker_pool")
    return next((str(one["template"][0]["containers"][0]["image"]) for one in pools), "")


def source(state: dict[str, Any]) -> str:
    """The object with the functions' zip, or nothing."""
    functions = resources(state, "google_cloudfunctions2_function")
    return next((str(one["build_config"][0]["source"][0]["storage_source"][0]["object"]) for one in functions), "")


def regions(state: dict[str, Any]) -> str:
    """The regions of the connectors in the order of their names, in words; where there are none, the first of the default."""
    pools = sorted(resources(state, "google_cloud_run_v2_worker_pool"), key=lambda one: (len(one["name"]), one["name"]))
    return " ".join([one["location"] for one in pools] or ["europe-west1"])


def key_location(state: dict[str, Any]) -> str:
    """Where the key ring is."""
    return next(str(one["location"]) for one in resources(state, "google_kms_key_ring"))


def named_secrets() -> list[str]:
    """Every secret that a function is given."""
    table = json.loads(FUNCTIONS.read_text())["functions"]
    return sorted({name for one in table for name in one.get("deploy", {}).get("secrets", {}).values()})


def new_secret(name: str) -> str:
    """32 random bytes: as Standard Webhooks writes a secret for signing where the name ends in `-secret`, else in hex."""
    value = secrets.token_bytes(32)
    return f"whsec_{base64.b64encode(value).decode()}" if name.endswith("-secret") else value.hex()


def archive(folder: Path) -> Path:
    """A zip of a folder beside it, named by its content."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(one for one in folder.rglob("*") if one.is_file() and "__pycache__" not in one.parts):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), _ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            target.writestr(entry, file.read_bytes())
    path = folder.parent / f"{hashlib.sha256(packed.getvalue()).hexdigest()}.zip"
    path.write_bytes(packed.getvalue())
    return path


_OF_STATE = {"image": image, "source": source, "regions": regions, "key-location": key_location}


def main(what: str, *arguments: str) -> str:
    """What is asked for, as text."""
    if what in _OF_STATE:
        return _OF_STATE[what](json.load(sys.stdin))
    if what == "secrets":
        return "\n".join(named_secrets())
    if what == "new-secret":
        return new_secret(*arguments)
    return str(archive(Path(*arguments)))


if __name__ == "__main__":
    # Without a line's end where it is a secret: gcloud would make it a part of the value.
    sys.stdout.write(main(*sys.argv[1:]) + ("" if sys.argv[1] == "new-secret" else "\n"))
