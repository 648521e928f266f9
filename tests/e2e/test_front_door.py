"""What a newcomer does first: the example, the client's, and the README's commands as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from keepline_local.stack import Stack

from .keepline import Api, Phones

ROOT = Path(__file__).parents[2]
COMMAND_TIMEOUT_S = 60.0


def run(command: list[str], state_dir: Path) -> subprocess.CompletedProcess[str]:
    """A command in the repository's root, pointed at a run by the one documented variable."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEEPLINE_")}
    environment["KEEPLINE_STATE_DIR"] = str(state_dir)
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )


def test_the_first_message_example_runs(stack: Stack) -> None:
    done = run([sys.executable, "examples/first_message.py"], stack.state.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has decrypted it: 'Hello! It is" in done.stdout
    assert "State: delivered." in done.stdout
    assert "← 'Hello yourself!' (delivered)" in done.stdout


def test_the_example_says_what_to_do_when_nothing_runs(tmp_path: Path) -> None:
    done = run([sys.executable, "examples/first_message.py"], tmp_path)
    assert done.returncode == 1
    assert "Start `make demo` in another terminal" in done.stderr


def test_the_clients_example_runs(stack: Stack) -> None:
    readme = (ROOT / "clients" / "python" / "README.md").read_text()
    found = re.search(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    assert found is not None
    given = f"api_key = {stack.run.api_key!r}\n"
    program = given + found[1].replace("http://127.0.0.1:8080", stack.run.api)
    done = run([sys.executable, "-c", program], stack.state.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "delivered {" in done.stdout
    assert "\nout Hello from Keepline\n" in done.stdout


def readme_commands() -> tuple[str, list[str]]:
    """The bash blocks of the README's section "A first message": the one that sets the variables, and those that use them."""
    readme = (ROOT / "README.md").read_text()
    section = re.split(r"^## ", readme.split("\n## A first message\n", 1)[1], flags=re.MULTILINE)[0]
    first, *others = re.findall(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return first, others


def test_the_readme_commands_work(stack: Stack, api: Api, phones: Phones) -> None:
    variables, commands = readme_commands()

    def paste(command: str) -> str:
        # What a person has in one terminal: the variables stay set.
        done = run(["bash", "-euo", "pipefail", "-c", variables + command], stack.state.root)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    create, look, send, inbox, answer, read = commands
    assert '"session_id":"hello"' in paste(create)
    api.wait_for_state("hello", "connected")
    assert '"state": "connected"' in paste(look)
    accepted = paste(send)
    assert '"state":"queued"' in accepted
    found = re.search(r'"message_id":"(m_\w+)"', accepted)
    assert found is not None
    api.wait_for_delivery(found[1])
    assert "Hello from Keepline" in paste(inbox)
    assert '"id"' in paste(answer)
    api.wait_for_text("hello", "Hello yourself!")
    both = paste(read)
    assert "Hello from Keepline" in both
    assert "Hello yourself!" in both
