"""What the console takes from others is what npm has, named with version and licence, and loads nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
VENDOR = WEB / "vendor"
MADE = json.loads((VENDOR / "vendor.json").read_text())

# Static and dynamic imports of a module, and what a page or a style sheet loads.
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"'\n]+)["']""")


def test_vendored_files_are_those_that_scripts_vendor_made() -> None:
    there = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDOR.iterdir()
        if file.name != "vendor.json"
    }
    assert there == MADE["files"]


def test_vendored_packages_are_those_that_scripts_vendor_names() -> None:
    script = (ROOT / "scripts" / "vendor").read_text()
    for package in MADE["packages"]:
        for value in (package["name"], package["version"], package["licence"], package["integrity"]):
            assert f'"{value}"' in script, f"{package['name']}: {value}"
        assert package["integrity"].startswith("sha512-")
    named = {name for package in MADE["packages"] for name in package["files"]}
    assert named == set(MADE["files"])


def test_each_vendored_package_has_its_licence() -> None:
    texts = {"MIT": "Permission is hereby granted", "Apache-2.0": "Apache License"}
    for package in MADE["packages"]:
        licences = [name for name in package["files"] if name.endswith(".LICENSE")]
        # Firebase's package has none: its files name the licence, whose text is beside them.
        text = (VENDOR / (licences[0] if licences else "htm.LICENSE")).read_text()
        assert texts[package["licence"]] in text, package["name"]


def test_modules_import_only_what_lies_beside_them() -> None:
    for module in sorted(WEB.rglob("*.js")):
        # In other people's files strings may look like imports; only what begins a statement of theirs is one.
        text = module.read_text()
        imports = (
            re.findall(r'^import[^;]*?from ?"([^"]+)"', text, re.M) if module.parent == VENDOR else IMPORT.findall(text)
        )
        for name in imports:
            assert name.startswith("."), f"{module.relative_to(WEB)} imports {name}"
            assert (module.parent / name).is_file(), f"{module.relative_to(WEB)} imports {name}, which is not there"


def test_pages_and_styles_load_nothing_from_elsewhere() -> None:
    for file in sorted([*WEB.rglob("*.html"), *WEB.rglob("*.css"), *WEB.glob("app/*.js"), *WEB.glob("pages/*.js")]):
        found = re.findall(
            r"""(?:src|href|url\(|fetch\(|@import)\s*=?\s*["'(]?(?:https?:)?//[^\s"')]+""", file.read_text()
        )
        assert not found, f"{file.relative_to(WEB)}: {found}"
