"""Try the newest neonize: does Keepline work with it, and is the one in use too old to stay?

    python -m infra.rebuild --out dist/rebuild

WhatsApp refuses a client some months after its version was cut (`outdated`), and the version is inside of neonize. So this is run
weekly (cloudbuild.rebuild.yaml). In a copy of this checkout it lets uv.lock take the newest neonize that fits, makes its own
.venv, and runs the rings of tests that have the real library in them. `report.json` has the verdict:

- `current`: there is none newer, and the one in use is young enough. Nothing to do.
- `opens`: a newer one passed everything. `neonize.patch` beside the report is the change to commit.
- `blocked`: a newer one failed (which ring, and the end of what it said), or there is none and the one in use is too old.

Exit code 0 for the first two, 1 for `blocked`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Those with the real library in them, the quick one first.
RINGS = ("simulator", "integration", "e2e")
# WhatsApp refused builds 4 to 5 months after their version was cut; a month is what it takes to find another way.
AGE_DAYS_MAX = 90
_RING_LIMIT_S = 3600
_PIN = re.compile(r'"neonize==([^"]+)"')
_WHEELS = {"manylinux2014_x86_64": "neonize-linux-amd64.so", "manylinux2014_aarch64": "neonize-linux-arm64.so"}
_NOT_COPIED = (".git", ".venv*", ".keepline", "dist", "__pycache__", ".*_cache", ".hypothesis", "node_modules")
_CHANGED = ("connector/pyproject.toml", "connector/neonize.sha256", "uv.lock")


@dataclass
class Report:
    """What was found. Times are UTC, `age_days` is of the version in use, by the day it came to the index."""

    at: str
    from_version: str
    to_version: str
    age_days: int
    verdict: str = ""
    why: str = ""
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    end_of_output: str = ""


def judge(report: Report) -> Report:
    """The verdict, from what was tried. Pure."""
    if report.failed:
        report.verdict = "blocked"
        report.why = f"neonize {report.to_version} does not pass: {', '.join(report.failed)}."
    elif report.to_version != report.from_version:
        report.verdict = "opens"
        report.why = f"neonize {report.to_version} passes; commit neonize.patch and release."
    elif report.age_days > AGE_DAYS_MAX:
        report.verdict = "blocked"
        report.why = (
            f"There is no neonize after {report.from_version}, which is {report.age_days} days old; WhatsApp refuses clients"
            " from about 120 days on. Ask its authors for a release, or build its library with the newest whatsmeow."
        )
    else:
        report.verdict = "current"
        report.why = f"neonize {report.from_version} is the newest, {report.age_days} days old."
    return report


def locked(lock: Path) -> dict[str, Any]:
    """neonize's entry of a uv.lock."""
    packages: list[dict[str, Any]] = tomllib.loads(lock.read_text())["package"]
    return next(package for package in packages if package["name"] == "neonize")


def age_days(package: dict[str, Any], now: datetime) -> int:
    """Since the first of its wheels came to the index."""
    times = [datetime.fromisoformat(wheel["upload-time"]) for wheel in package["wheels"]]
    return (now - min(times)).days


def library_hashes(package: dict[str, Any], folder: Path) -> str:
    """The lines of neonize.sha256, out of the wheels that the lock names, by hash."""
    lines = []
    for platform, name in _WHEELS.items():
        wheel = next(one for one in package["wheels"] if platform in one["url"])
        wanted = wheel["hash"].removeprefix("sha256:")
        _run(
            *(
                "python3",
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--dest",
                str(folder),
            ),
            *("--platform", platform, f"neonize=={package['version']}"),
            cwd=folder,
        )
        file = folder / wheel["url"].rsplit("/", 1)[1]
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != wanted:
            raise SystemExit(f"{file.name} is not the one that the lock names")
        with zipfile.ZipFile(file) as archive:
            lines.append(f"{hashlib.sha256(archive.read(f'neonize/{name}')).hexdigest()}  {name}\n")
    return "".join(lines)


def update(copy: Path, version: str | None) -> None:
    """Let the copy have another neonize: `version`, or the newest that fits with everything else."""
    manifest = copy / "connector" / "pyproject.toml"
    wanted = f'"neonize=={version}"' if version else '"neonize"'
    manifest.write_text(_PIN.sub(wanted, manifest.read_text()))
    _run("uv", "lock", "--quiet", "--upgrade-package", "neonize", cwd=copy)
    found = locked(copy / "uv.lock")["version"]
    manifest.write_text(manifest.read_text().replace('"neonize"', f'"neonize=={found}"'))
    _run("uv", "lock", "--quiet", cwd=copy)


def try_out(copy: Path, rings: list[str], report: Report) -> None:
    """The rings, in the copy's own .venv. What comes after one that failed is not run."""
    for step in ("install", *(f"test-{ring}" for ring in rings)):
        done = subprocess.run(
            ["make", step],
            cwd=copy,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=_RING_LIMIT_S,
            check=False,
        )
        (report.failed if done.returncode else report.passed).append(step.removeprefix("test-"))
        print(f"rebuild: make {step}: {'failed' if done.returncode else 'passed'}", flush=True)
        if done.returncode:
            report.end_of_output = (done.stdout + done.stderr)[-3000:]
            return


def write_patch(copy: Path, out: Path) -> None:
    """The difference between this checkout and the copy, for `git apply`."""
    patch = ""
    for file in _CHANGED:
        done = subprocess.run(
            ["git", "diff", "--no-index", "--no-color", str(ROOT / file), str(copy / file)],
            capture_output=True,
            text=True,
            check=False,  # 1 says that they differ
        )
        patch += done.stdout.replace(f"a{ROOT / file}", f"a/{file}").replace(f"b{copy / file}", f"b/{file}")
    (out / "neonize.patch").write_text(patch)


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, env=_environment(), check=True)


def _environment() -> dict[str, str]:
    """Without what would lead the copy's programs to this checkout's packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.rebuild", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist" / "rebuild", help="the folder for the report; it is made anew"
    )
    parser.add_argument("--to", help="this version, newer or older, in place of the newest")
    parser.add_argument("--rings", nargs="+", default=list(RINGS), help="the rings of tests to run")
    options = parser.parse_args()
    out: Path = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    copy = out / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    now = datetime.now(UTC)
    old = locked(ROOT / "uv.lock")
    update(copy, options.to)
    new = locked(copy / "uv.lock")
    report = Report(f"{now:%Y-%m-%dT%H:%M:%SZ}", old["version"], new["version"], age_days(old, now))
    if new["version"] != old["version"]:
        wheels = out / "wheels"
        wheels.mkdir()
        (copy / "connector" / "neonize.sha256").write_text(library_hashes(new, wheels))
        try_out(copy, options.rings, report)
        write_patch(copy, out)
    judge(report)
    (out / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n")
    print(f"rebuild: {report.verdict}: {report.why}")
    return 1 if report.verdict == "blocked" else 0


if __name__ == "__main__":
    raise SystemExit(main())
