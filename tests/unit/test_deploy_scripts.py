"""scripts/deploy and scripts/destroy, with tools in Google's place that write down what they are asked: each step in its order, a
second run that does nothing twice, and data that stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra import running

ROOT = Path(__file__).parents[2]
IMAGE = "europe-west1-docker.pkg.dev/a-project/keepline/connector@sha256:" + "0" * 64

# Writes down its name and arguments, and answers what the test has put beside it for a part of them; "!" is a failure.
TOOL = """#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
line = " ".join([name, *arguments])
if "--data-file=-" in arguments:
    sys.stdin.read()
with (folder / "asked").open("a") as asked:
    asked.write(line + "\\n")
answers = json.loads((folder / "answers.json").read_text())
for beginning in sorted(answers, key=len, reverse=True):
    if beginning in line:
        sys.exit(1) if answers[beginning] == "!" else print(answers[beginning])
        break
"""
EMPTY: dict[str, Any] = {"values": {"root_module": {}}}
RUNNING: dict[str, Any] = {
    "values": {
        "root_module": {
            "child_modules": [
                {
                    "resources": [
                        {
                            "type": "google_cloud_run_v2_worker_pool",
                            "values": {
                                "name": f"keepline-connector-{number}",
                                "location": region,
                                "template": [{"containers": [{"image": IMAGE}]}],
                            },
                        }
                    ]
                }
                for number, region in ((2, "us-east1"), (1, "us-central1"))
            ]
            + [
                {
                    "resources": [
                        {"type": "google_kms_key_ring", "values": {"location": "us"}},
                        {
                            "type": "google_cloudfunctions2_function",
                            "values": {
                                "build_config": [{"source": [{"storage_source": [{"object": "functions/1.zip"}]}]}]
                            },
                        },
                    ]
                }
            ]
        }
    }
}


class Cloud:
    """A checkout with the scripts, and tools that write down what they are asked."""

    def __init__(self, folder: Path, state: dict[str, Any]) -> None:
        self._root, self._tools = folder / "checkout", folder / "tools"
        for path in ("scripts/deploy", "scripts/destroy", "infra/running.py", "infra/functions.json"):
            target = self._root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(ROOT / path)
        (self._root / "infra" / "terraform").mkdir()
        (self._root / "infra" / "terraform" / "terraform.tfvars").touch()
        (self._root / ".venv" / "bin").mkdir(parents=True)
        (self._root / ".venv" / "bin" / "python").symlink_to(sys.executable)
        package = self._root / "scripts" / "package-functions"
        package.write_text('#!/bin/sh\nmkdir -p "$1" && echo x > "$1/main.py"\n')
        package.chmod(0o755)
        self._tools.mkdir()
        for name in ("gcloud", "terraform", "firebase"):
            tool = self._tools / name
            tool.write_text(TOOL.format(python=sys.executable, folder=str(self._tools)))
            tool.chmod(0o755)
        # Of this machine's own only what the scripts take from the shell: the real tools may be installed.
        for name in ("bash", "sh", "env", "dirname", "basename", "mkdir", "cat"):
            (self._tools / name).symlink_to(str(shutil.which(name)))
        self.answers = {
            "gcloud auth list": "me@example.com",
            "gcloud billing projects describe": "True",
            "show -json": json.dumps(state),
            "gcloud builds submit": "a-build",
            "gcloud artifacts docker images describe": IMAGE,
            "gcloud secrets versions list": "projects/1/secrets/x/versions/1",
            "gcloud kms keys versions list": "projects/p/versions/1",
        }

    def run(self, script: str, *arguments: str, typed: str = "", **environment: str) -> tuple[int, str, list[str]]:
        """Exit code, what it said, and what the tools were asked."""
        (self._tools / "answers.json").write_text(json.dumps(self.answers))
        asked = self._tools / "asked"
        asked.write_text("")
        done = subprocess.run(
            [self._root / "scripts" / script, *arguments],
            env={"PATH": str(self._tools), "HOME": str(self._root), **environment},
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr, asked.read_text().splitlines()

    def without(self, tool: str) -> None:
        (self._tools / tool).unlink()


def places(asked: list[str], *beginnings: str) -> list[int]:
    """Where each is asked for the first time."""
    return [next(at for at, line in enumerate(asked) if beginning in line) for beginning in beginnings]


def test_a_first_deployment_goes_from_the_states_bucket_to_the_console(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, EMPTY)
    cloud.answers |= {"gcloud storage buckets describe": "!", "gcloud secrets versions list": ""}
    code, said, asked = cloud.run("deploy", "a-project", "us-central1 us-east1", APPROVE="yes")
    assert code == 0, said
    order = places(
        asked,
        "gcloud storage buckets create gs://a-project-keepline-terraform",
        "init -input=false -reconfigure -backend-config=bucket=a-project-keepline-terraform",
        "apply -input=false -auto-approve -target=module.services -target=module.data",
        "gcloud secrets versions add keepline-metrics-token",
        "gcloud builds submit",
        "gcloud storage cp",
        "firebase deploy --only hosting",
    )
    assert order == sorted(order)
    # Everything at once only when there is something to run.
    whole = [line for line in asked if line.endswith("apply -input=false -auto-approve")]
    assert len(whole) == 1
    assert order[5] < asked.index(whole[0]) < order[6]
    builds = [line for line in asked if "gcloud builds submit" in line]
    assert len(builds) == 1
    assert "_REGION=us-central1,_POOLS=us-central1/connector-1 us-east1/connector-2,_DEPLOY=none" in builds[0]


def test_a_second_deployment_makes_nothing_again_and_releases(tmp_path: Path) -> None:
    code, said, asked = Cloud(tmp_path, RUNNING).run("deploy", "a-project", "", APPROVE="yes")
    assert code == 0, said
    assert not [line for line in asked if "buckets create" in line or "versions add" in line]
    builds = [line for line in asked if "gcloud builds submit" in line]
    # Where it runs is where it stays, though the command did not say so.
    assert [line.partition("--substitutions=")[2] for line in builds] == [
        "_REGION=us-central1,_POOLS=us-central1/connector-1 us-east1/connector-2,_DEPLOY=all"
    ]


def test_without_approval_terraform_asks_itself(tmp_path: Path) -> None:
    _, _, asked = Cloud(tmp_path, RUNNING).run("deploy", "a-project", "")
    assert not [line for line in asked if "auto-approve" in line]


@pytest.mark.parametrize(
    ("tool", "answers", "said"),
    [
        ("terraform", {}, "terraform 1.9 or newer"),
        ("firebase", {}, "npm install --global firebase-tools"),
        ("gcloud", {}, "https://cloud.google.com/sdk/docs/install"),
        (None, {"gcloud auth list": ""}, "gcloud auth login"),
        (None, {"gcloud auth application-default": "!"}, "gcloud auth application-default login"),
        (None, {"firebase login:list": "!"}, "firebase login"),
        (None, {"gcloud projects describe": "!"}, "There is no project a-project"),
        (None, {"gcloud billing projects describe": "False"}, "has no billing account"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_changed(
    tmp_path: Path, tool: str | None, answers: dict[str, str], said: str
) -> None:
    cloud = Cloud(tmp_path, EMPTY)
    if tool is not None:
        cloud.without(tool)
    cloud.answers |= answers
    code, text, asked = cloud.run("deploy", "a-project", "")
    assert code == 2
    assert said in text
    assert not [line for line in asked if " init " in line or "create" in line or "enable" in line]


def test_a_deployment_without_a_project_says_how_to_name_one(tmp_path: Path) -> None:
    code, said, asked = Cloud(tmp_path, EMPTY).run("deploy", "", "")
    assert (code, asked) == (2, [])
    assert "make deploy PROJECT=" in said


def test_destroying_keeps_the_data(tmp_path: Path) -> None:
    code, said, asked = Cloud(tmp_path, RUNNING).run("destroy", "a-project", "")
    assert code == 0, said
    destroyed = [line for line in asked if " destroy " in line]
    assert len(destroyed) == 1
    assert "module.data" not in destroyed[0]
    assert "-target=module.connector" in destroyed[0]
    assert not [line for line in asked if "delete" in line or "storage rm" in line or "versions destroy" in line]


def test_data_goes_only_when_told_and_typed(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, RUNNING)
    code, _, asked = cloud.run("destroy", "a-project", "delete", typed="yes\n")
    assert code == 2
    assert not [line for line in asked if "delete" in line or "storage rm" in line or "versions destroy" in line]
    code, said, asked = cloud.run("destroy", "a-project", "delete", typed="a-project\n")
    assert code == 0, said
    for one in (
        "firestore databases delete",
        "storage rm --recursive gs://a-project-keepline-media",
        "kms keys versions destroy projects/p/versions/1",
        "secrets delete keepline-metrics-token",
        "state rm module.data",
    ):
        assert [line for line in asked if one in line], one
    assert [line for line in asked if "kms keys versions list" in line and "--location=us " in line]


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    names = set()
    for number in (1, 2):
        folder = tmp_path / str(number) / "functions"
        (folder / "package").mkdir(parents=True)
        (folder / "package" / "b.py").write_text("b")
        (folder / "main.py").write_text("a")
        os.utime(folder / "main.py", (number * 1e9, number * 1e9))
        names.add(running.archive(folder).name)
    assert len(names) == 1


def test_a_secret_is_long_and_never_the_same() -> None:
    assert len(running.new_secret("keepline-metrics-token")) == 64
    assert running.new_secret("keepline-recovery-secret").startswith("whsec_")
    assert running.new_secret("x") != running.new_secret("x")
