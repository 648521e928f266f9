"""The README's examples of what people send do what they say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from simulator import Settings
from simulator.client import SimulatorClient
from simulator.server import Simulator
from simulator.testing import RunningSimulator

README = Path(__file__).parents[2] / "simulator" / "README.md"


def section(title: str) -> str:
    return README.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run_curl(control: SimulatorClient, command: str) -> None:
    """What `curl -d <body> <url>` or `curl -X <method> <url>` does; errors raise."""
    words = shlex.split(command)[1:]
    method, body = "GET", None
    while len(words) > 1:
        option, value, *words = words
        if option == "-d":
            method, body = "POST", json.loads(value)
        else:
            method = value
    control.call(method, words[0].removeprefix("http://127.0.0.1:8090"), body)


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatorClient:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8 a picture")
    with RunningSimulator(Settings(folder=tmp_path / ".simulator")) as running:
        running.client.add_phone("14155550100", "Ada")
        running.client.add_phone("14155550199", "Bob")
        yield running.client  # type: ignore[misc]


def test_the_curl_examples_are_taken(control: SimulatorClient) -> None:
    commands = [line for block in blocks(section("What people send"), "") for line in block.splitlines()]
    assert len(commands) == 5
    for command in commands:
        run_curl(control, command)
    assert [message["kind"] for message in control.inbox("14155550199")] == ["image", "location", "poll"]


def test_the_python_example_runs(control: SimulatorClient, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(section("What people send"), "python")
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out == "{'14155550100': ['lake']}\n"


async def test_a_program_in_the_same_process_uses_phones_and_groups(tmp_path: Path) -> None:
    async with Simulator(Settings(folder=tmp_path)) as simulator:
        ada, bob = simulator.add_phone("14155550100", "Ada"), simulator.add_phone("14155550199", "Bob")
        group = simulator.create_group("14155550100", "Walks", ["14155550199"])
        sent = ada.acts.text(str(group.jid), "hello")
        bob.acts.react(sent, "👍")
        shown = ada.chats.find(sent)
        assert shown is not None and shown.reactions == {"14155550199": "👍"}


def test_every_route_is_in_the_readme() -> None:
    from simulator.control import Control

    told = re.sub(r"\{[a-z]+\}", "{}", README.read_text())
    control = Control(Simulator())
    for method, pattern, _ in control._routes:
        path = re.sub(r"\(\?P<\w+>[^)]*\)", "{}", pattern.pattern)
        assert f"`{method} {path}" in told or (f"POST {path}" in told and "· `GET`" in told), f"{method} {path}"
