"""Build the connector's image without Docker and without root: the lines of its Dockerfile, carried out in a clean folder.

    python -m infra.checks.dry_build dist/image

It leaves in that folder `root/` with the files of the image, `files.txt` with their list (SHA-256, bytes, path) and
`image.json` with how it is started. Every RUN is run by `sh` as it stands there, but for two things. Paths that the image makes
(`/opt/keepline`, `/source`, `/data`) lie in `root/`, because this machine's own are not ours to write. And what takes root
(`apt-get`, `useradd`) is not done: its packages are what this machine must have, and those that it lacks are named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from ctypes.util import find_library
from dataclasses import dataclass, field
from pathlib import Path

from infra.checks.dockerfile import BadDockerfile, Instruction, Stage, assignments, read_dockerfile, substitute

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "connector" / "Dockerfile"
STEP_LIMIT_S = 600
_ROOTS_COMMANDS = ("apt-get", "useradd")
# How this machine shows that it has what a package of Debian brings.
_BROUGHT = {
    "libmagic1t64": lambda: find_library("magic"),
    "ffmpeg": lambda: shutil.which("ffmpeg"),
}


class BuildFailed(Exception):
    """A step failed. The message has the step and the end of what it said."""


@dataclass
class DryBuild:
    """The build of one Dockerfile into `out`."""

    out: Path
    dockerfile: Path = DOCKERFILE
    context: Path = ROOT
    missing: list[str] = field(default_factory=list)  # packages that the image has and this machine has not

    def __post_init__(self) -> None:
        self.out = self.out.resolve()
        self.root = self.out / "root"
        self.stages = read_dockerfile(self.dockerfile.read_text())
        self._own = _own_paths(self.stages)

    def run(self) -> None:
        """All stages. Raises BuildFailed, BadDockerfile."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.root.mkdir(parents=True)
        for stage in self.stages:
            environment = self._stage(stage)
        last = self.stages[-1]
        kept = self._kept(last)
        files = list(list_files(self.root, kept))
        (self.out / "files.txt").write_text("".join(f"{line}\n" for line in files))
        image = {
            "command": [self._here(word) for word in last.one("CMD").command()],
            "health": [self._here(word) for word in last.one("HEALTHCHECK").command()],
            "environment": environment,
            "user": last.one("USER").text,
            "volumes": [str(self.root / one.text.lstrip("/")) for one in last.all("VOLUME")],
            "stop_signal": last.one("STOPSIGNAL").text,
            "missing": self.missing,
        }
        (self.out / "image.json").write_text(json.dumps(image, indent=1, sort_keys=True) + "\n")

    def _stage(self, stage: Stage) -> dict[str, str]:
        """One stage. Gives the environment that it leaves."""
        if stage is self.stages[-1]:
            self._forget_all_but(self._kept(stage))
        base = self._base(stage.base) if stage is not self.stages[-1] else None
        arguments: dict[str, str] = {}
        environment: dict[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        workdir = self.root
        for one in stage.instructions:
            text = substitute(one.text, {**arguments, **environment}) if one.word != "RUN" else one.text
            if one.word == "ARG":
                arguments.update(assignments(text))
            elif one.word == "ENV":
                environment.update({name: self._here(value) for name, value in assignments(text).items()})
            elif one.word == "WORKDIR":
                workdir = self.root / text.lstrip("/")
                workdir.mkdir(parents=True, exist_ok=True)
            elif one.word == "VOLUME":
                (self.root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif one.word == "COPY":
                self._copy(one, text, workdir)
            elif one.word == "RUN":
                self._run(one, environment, workdir, base)
        return environment

    def _base(self, image: str) -> Path:
        """What stands in for the base image: an environment of this machine's Python, of the image's version if it is here."""
        found = re.match(r"python:(\d+\.\d+)", image)
        if found is None:
            raise BadDockerfile(f"FROM {image}")
        python = shutil.which(f"python{found[1]}")
        if python is None or subprocess.run([python, "-V"], capture_output=True, check=False).returncode:
            python = sys.executable
            _say(f"no python{found[1]} here: built with {sys.version.split()[0]}")
        base = self.out / "base"
        subprocess.run([python, "-m", "venv", str(base)], check=True, timeout=STEP_LIMIT_S)
        return base

    def _run(self, one: Instruction, environment: dict[str, str], workdir: Path, base: Path | None) -> None:
        commands = [part.split() for part in re.split(r"&&", one.text)]
        if any(words[0] in _ROOTS_COMMANDS for words in commands):
            _say(f"takes root, not done: {one.text}")
            for words in commands:
                if words[:2] == ["apt-get", "install"]:
                    self.missing += [name for name in words[2:] if not name.startswith("-") and not _BROUGHT[name]()]
            return
        _say(one.text)
        path, stand_in = environment["PATH"], {}
        if base is not None:
            path = f"{base / 'bin'}:{path}"
            # uv passes over an environment's Python on the path, and the image's own is no environment.
            stand_in = {"UV_PYTHON": str((base / "bin" / "python").resolve())}
        done = subprocess.run(
            ["/bin/sh", "-euc", self._here(one.text)],
            cwd=workdir,
            env={**_of_this_machine(), **stand_in, **environment, "PATH": path},
            capture_output=True,
            text=True,
            timeout=STEP_LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise BuildFailed(f"RUN {one.text}\n{(done.stdout + done.stderr)[-4000:]}")

    def _copy(self, one: Instruction, text: str, workdir: Path) -> None:
        *sources, target = shlex.split(text)
        to = self.root / target.lstrip("/") if target.startswith("/") else workdir / target
        if "from" in one.flags:
            # An environment names its own place in its scripts, so it is built where it is to lie.
            if sources != [target] or not to.exists():
                raise BadDockerfile(f"COPY --from={one.flags['from']} {text}")
            return
        for source in sources:
            found = self.context / source
            if found.is_dir():
                shutil.copytree(found, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                whole = to / found.name if target.endswith("/") else to
                whole.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, whole)

    def _kept(self, stage: Stage) -> list[Path]:
        return [self.root / one.text.split()[-1].lstrip("/") for one in stage.all("COPY") if "from" in one.flags]

    def _forget_all_but(self, kept: list[Path]) -> None:
        """A last stage begins with nothing but what it copies out of the earlier ones."""
        aside = self.out / "aside"
        for place in kept:
            moved = aside / place.relative_to(self.root)
            moved.parent.mkdir(parents=True, exist_ok=True)
            place.rename(moved)
        shutil.rmtree(self.root)
        aside.rename(self.root)

    def _here(self, text: str) -> str:
        """`text` with the image's own paths as they are on this machine."""
        if not self._own:
            return text
        own = "|".join(re.escape(path) for path in self._own)
        return re.sub(rf"(?<![\w./-])({own})(?![\w.-])", rf"{self.root}\1", text)


def list_files(root: Path, places: list[Path]) -> list[str]:
    """`SHA-256 bytes path` of each file, in the order of their paths; of a link where it leads; each folder."""
    lines = []
    for place in places:
        for file in sorted(place.rglob("*")):
            path = f"/{file.relative_to(root)}"
            if file.is_symlink():
                lines.append(f"link - {path} -> {file.readlink()}")
            elif file.is_file():
                content = file.read_bytes()
                lines.append(f"{hashlib.sha256(content).hexdigest()} {len(content)} {path}")
            else:
                lines.append(f"folder - {path}")
    return lines


def _own_paths(stages: list[Stage]) -> list[str]:
    """The absolute paths that the Dockerfile makes: work directories, volumes, and what later stages copy."""
    found: set[str] = set()
    for stage in stages:
        found.update(one.text for one in (*stage.all("WORKDIR"), *stage.all("VOLUME")))
        found.update(one.text.split()[-1] for one in stage.all("COPY") if "from" in one.flags)
    return sorted(found)


def _of_this_machine() -> dict[str, str]:
    """What leads to the package index, its certificates and caches; nothing that would lead Python to this checkout."""
    known = (
        "HOME",
        "TMPDIR",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "XDG_CACHE_HOME",
    )
    return {
        name: value
        for name, value in os.environ.items()
        if name in known
        or name.lower() in ("http_proxy", "https_proxy", "no_proxy")
        or name.startswith(("PIP_", "UV_"))
    }


def _say(text: str) -> None:
    print(f"dry build: {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to build in; what it has is removed")
    build = DryBuild(parser.parse_args().out)
    try:
        build.run()
    except (BuildFailed, BadDockerfile, subprocess.SubprocessError) as error:
        print(f"The build failed: {error}", file=sys.stderr)
        return 1
    if build.missing:
        _say(f"in the image, and not on this machine: {', '.join(build.missing)}")
    found = (build.out / "files.txt").read_text().splitlines()
    _say(f"{len(found)} files and folders in {build.root}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
