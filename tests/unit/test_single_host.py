"""The files for one machine fit the code: their settings exist, their schema holds, and systemd can read its units."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra.checks.dockerfile import read_dockerfile
from keepline_connector.app import NAME_TAKEN_EXIT
from keepline_connector.settings import read_settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "single-host"
UNITS = ("keepline-connector@.service", "keepline-trial.service")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return found


def assignments(file: str) -> dict[str, str]:
    lines = (FOLDER / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))  # type: ignore[misc]


def known_settings() -> set[str]:
    found = {"GOOGLE_APPLICATION_CREDENTIALS", "XDG_CACHE_HOME"}  # Google's own, and the base directories'
    for folder in ("core/src", "connector/src", "local/src"):
        for file in (ROOT / folder).rglob("*.py"):
            found.update(re.findall(r'"(KEEPLINE_[A-Z_]+)"', file.read_text()))
    return found


def test_compose_fits_the_compose_specification() -> None:
    schema = json.loads((ROOT / "infra" / "checks" / "schemas" / "compose-spec.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(compose())


def test_the_settings_for_one_machine_exist_in_the_code() -> None:
    named = set(assignments("keepline.env.example"))
    for service in compose()["services"].values():
        named.update(service.get("environment", ()))
    for unit in UNITS:
        for line in re.findall(r"^Environment=(.*)$", (FOLDER / unit).read_text(), re.MULTILINE):
            named.update(word.split("=")[0] for word in line.split())
        named.update(re.findall(r"# .*?(KEEPLINE_\w+)", (FOLDER / unit).read_text()))
    assert named <= known_settings(), named - known_settings()


@pytest.mark.parametrize("name", ["connector-1", "connector-2"])
def test_a_connector_of_compose_has_all_that_it_must_have(name: str) -> None:
    """Its settings, and the image's, are read by the connector's own reader."""
    last = read_dockerfile((ROOT / "connector" / "Dockerfile").read_text())[-1]
    image = dict(re.findall(r"(KEEPLINE_\w+)=(\S+)", " ".join(one.text for one in last.all("ENV"))))
    service = compose()["services"][name]
    settings = read_settings({**image, **assignments("keepline.env.example"), **service["environment"]})
    assert settings.connector == name
    assert service["volumes"] == [f"{name}:{settings.data_dir}"]


def test_the_connectors_of_compose_are_apart_and_cannot_write_or_gain_rights() -> None:
    both = [compose()["services"][name] for name in ("connector-1", "connector-2")]
    assert len({one["environment"]["KEEPLINE_REGION"] for one in both}) == 2
    for one in both:
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in one["security_opt"]
        assert int(one["stop_grace_period"].removesuffix("s")) > 10


def test_a_unit_does_not_start_again_what_cannot_start() -> None:
    unit = (FOLDER / UNITS[0]).read_text()
    assert f"RestartPreventExitStatus=2 {NAME_TAKEN_EXIT}\n" in unit
    assert "ExecStart=/opt/keepline/bin/python -m keepline_connector\n" in unit


def systemd_analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_can_read_its_units_and_finds_them_closed(unit: str, tmp_path: Path) -> None:
    name = unit.replace("@.", "@connector-1.")
    # What they start lies elsewhere on the machine that they are for.
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", (FOLDER / unit).read_text(), flags=re.MULTILINE)
    (tmp_path / name).write_text(text.replace("WorkingDirectory=/opt/keepline-trial", "WorkingDirectory=/"))
    read = systemd_analyze("verify", "--man=no", f"./{name}", folder=tmp_path)
    assert (read.returncode, read.stderr) == (0, "")
    closed = systemd_analyze("security", "--offline=true", "--threshold=20", f"./{name}", folder=tmp_path)
    assert closed.returncode == 0, closed.stdout[-300:]
