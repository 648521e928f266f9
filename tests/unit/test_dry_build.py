"""The builder of images without Docker does what a Dockerfile says, and no more than it can."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from infra.checks.dockerfile import BadDockerfile, read_dockerfile, substitute
from infra.checks.dry_build import DOCKERFILE, BuildFailed, DryBuild

HEAD = "FROM python:3.12-slim AS build\nWORKDIR /source\n"
TAIL = """
FROM python:3.12-slim
COPY --from=build /opt/app /opt/app
ENV PATH=/opt/app:$PATH DATA=/data
USER 10001:10001
VOLUME /data
HEALTHCHECK --interval=10s CMD ["true"]
STOPSIGNAL SIGTERM
CMD ["run", "/data"]
"""


@pytest.fixture(autouse=True)
def _no_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of these steps needs a Python, and making an environment takes seconds."""
    monkeypatch.setattr(DryBuild, "_base", lambda self, image: tmp_path)


def build(tmp_path: Path, steps: str) -> DryBuild:
    context = tmp_path / "context"
    context.mkdir(exist_ok=True)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(HEAD + steps + TAIL)
    done = DryBuild(tmp_path / "out", dockerfile, context)
    done.run()
    return done


def test_a_line_that_goes_on_is_one_instruction_and_comments_are_none() -> None:
    (stage,) = read_dockerfile("ARG A=1\n# no\nFROM x:${A}\nRUN one \\\n    # no\n    && two\n")
    assert stage.base == "x:1"
    assert stage.one("RUN").text == "one && two"


def test_a_word_that_the_reader_does_not_know_is_an_error() -> None:
    with pytest.raises(BadDockerfile, match="ADD http"):
        read_dockerfile("FROM x\nADD http://example.com/ /\n")


def test_variables_are_put_in() -> None:
    assert substitute("$A/${B}$C", {"A": "1", "B": "2"}) == "1/2"


def test_steps_write_into_the_builds_own_root(tmp_path: Path) -> None:
    done = build(tmp_path, "RUN mkdir -p /opt/app && echo hello > /opt/app/said && echo gone > /source/said\n")
    about = json.loads((done.out / "image.json").read_text())
    digest = hashlib.sha256(b"hello\n").hexdigest()
    assert (done.out / "files.txt").read_text() == f"{digest} 6 /opt/app/said\n"
    assert not (done.root / "source").exists(), "the last stage has only what it copies"
    assert about["command"] == ["run", f"{done.root}/data"]
    assert about["environment"]["DATA"] == f"{done.root}/data"
    assert about["environment"]["PATH"].startswith(f"{done.root}/opt/app:")


def test_what_takes_root_is_left_out_and_its_packages_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.checks.dry_build._BROUGHT", {"libmagic1t64": lambda: "there", "ffmpeg": lambda: None})
    step = "RUN apt-get update && apt-get install --yes libmagic1t64 ffmpeg\nRUN mkdir -p /opt/app\n"
    assert build(tmp_path, step).missing == ["ffmpeg"]


def test_a_step_that_fails_ends_the_build_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no such luck"):
        build(tmp_path, "RUN mkdir -p /opt/app && echo no such luck && false\n")


def test_another_library_than_the_listed_one_ends_the_build(tmp_path: Path) -> None:
    """With the very line of the connector's Dockerfile."""
    (verify,) = [one for one in read_dockerfile(DOCKERFILE.read_text())[0].all("RUN") if "sha256sum" in one.text]
    listed = "\n".join(
        f"{hashlib.sha256(b'right').hexdigest()}  neonize-linux-{arch}.so" for arch in ("amd64", "arm64")
    )
    folder = "/opt/keepline/lib/python3.12/site-packages/neonize"
    tail = TAIL.replace("/opt/app", "/opt/keepline")
    (tmp_path / "neonize.sha256").write_text(listed + "\n")

    def try_with(name: str, content: str) -> None:
        made = f"RUN mkdir -p {folder} && printf {content} > {folder}/{name}\n"
        dockerfile = tmp_path / "Dockerfile"
        dockerfile.write_text(f"{HEAD}COPY neonize.sha256 connector/\n{made}RUN {verify.text}\n{tail}")
        DryBuild(tmp_path / "out", dockerfile, tmp_path).run()

    try_with("neonize-linux-amd64.so", "right")
    with pytest.raises(BuildFailed, match="FAILED"):
        try_with("neonize-linux-amd64.so", "wrong")
    with pytest.raises(BuildFailed, match="no file was verified"):
        try_with("none.txt", "right")
