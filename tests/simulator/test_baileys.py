"""A second, independent client against the simulator: Baileys, which shares no code with whatsmeow.

Optional: it needs Node.js 20 and the package, put in place by `npm ci --ignore-scripts` in `tests/simulator/baileys`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.client import SimulatorClient, wait_for
from simulator.testing import NeonizeClient, RunningSimulator, link

FOLDER = Path(__file__).parent / "baileys"
ADA, BOB, CLEO, EVE = (f"1415555800{i}" for i in range(4))
WAIT_SECONDS = 30.0
Event = dict[str, Any]


def _why_not() -> str:
    """The reason why these tests cannot run, or ""."""
    node = shutil.which("node")
    if node is None:
        return "Node.js is not installed"
    version = subprocess.run(
        [node, "--version"], capture_output=True, text=True, check=False, timeout=20
    ).stdout.strip()
    if int(version.lstrip("v").partition(".")[0] or 0) < 20:
        return f"Node.js 20 is needed, this is {version}"
    if not (FOLDER / "node_modules" / "baileys").is_dir():
        return "Baileys is not installed: run `npm ci --ignore-scripts` in tests/simulator/baileys"
    return ""


pytestmark = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "it can run")


class Baileys:
    """A client in a process of its own (client.mjs)."""

    def __init__(self, about: dict[str, Any], store: Path) -> None:
        options = {"proxy": about["proxy"], "noise_root": about["noise_root"], "store": str(store)}
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._calls = 0
        self._log = (store.parent / f"{store.name}.log").open("w+")
        inherited = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")}
        self._process = subprocess.Popen(
            [shutil.which("node") or "node", "client.mjs", json.dumps(options)],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**inherited, "NODE_EXTRA_CA_CERTS": about["ca"]},
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()

    def wait(self, event: str, where: Callable[[Event], bool] = lambda event: True) -> Event:
        return self.wait_any(lambda found: bool(found["event"] == event and where(found)))

    def wait_any(self, where: Callable[[Event], bool]) -> Event:
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while not (found := [event for event in self.events if where(event)]):
                if not self._changed.wait(deadline - time.monotonic()):
                    self._log.seek(0)
                    raise AssertionError(f"not what was awaited, but {self.events}; {self._log.read()[-2_000:]}")
        return found[0]

    def do(self, what: str, **fields: Any) -> Event:
        """Runs a command; RuntimeError with Baileys' words if it failed."""
        self._calls += 1
        call = self._calls
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": what, "call": call, **fields}) + "\n")
        self._process.stdin.flush()
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while not (answers := [event for event in self.events if event.get("call") == call]):
                assert self._changed.wait(deadline - time.monotonic()), f"{what} was not answered"
        if answers[0]["event"] == "failed":
            raise RuntimeError(answers[0]["error"])
        return answers[0]

    def send(self, to: str, **content: Any) -> str:
        return str(self.do("send", to=to, content=content)["id"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        self._log.close()


@pytest.fixture(scope="module")
def control(running: RunningSimulator) -> SimulatorClient:
    for number, name in ((ADA, "Ada"), (BOB, "Bob"), (CLEO, "Cleo"), (EVE, "Eve")):
        running.client.add_phone(number, name)
    running.client.send(BOB, ADA, "before the link")
    return running.client


@pytest.fixture(scope="module")
def ada(
    running: RunningSimulator, control: SimulatorClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Baileys]:
    """Ada's device, linked by QR code."""
    client = Baileys(running.about, tmp_path_factory.mktemp("baileys") / "ada")
    try:
        control.scan(ADA, client.wait("qr")["qr"])
        client.wait("close", lambda event: event["code"] == 515)
        client.wait("open")
        yield client
    finally:
        client.close()


def person(number: str) -> str:
    return f"{number}@s.whatsapp.net"


def with_id(message_id: str) -> Callable[[Event], bool]:
    return lambda event: bool(event["id"] == message_id)


def on_phone(control: SimulatorClient, number: str, message_id: str) -> dict[str, Any]:
    return wait_for(lambda: control.message(number, message_id), 15, f"{message_id} on the phone {number}")


def test_it_links_and_gets_history(control: SimulatorClient, ada: Baileys) -> None:
    history = ada.wait("history", lambda event: event["syncType"] == 0)
    assert history["messages"] == [control.message(ADA, history["messages"][0])["id"]]  # type: ignore[index]
    assert control.devices(ADA)[0]["platform"] == "Ubuntu"


def test_texts_go_both_ways_with_receipts(control: SimulatorClient, ada: Baileys) -> None:
    sent = ada.send(person(BOB), text="from another client")
    assert on_phone(control, BOB, sent)["text"] == "from another client"
    assert on_phone(control, ADA, sent)["from_device"] == 1
    # 3 is "delivered"; while history is read, Baileys tells the state together with the message.
    ada.wait_any(lambda event: event.get("id") == sent and (event.get("update") or event).get("status") in (3, 4))
    told = control.send(BOB, ADA, "and back")
    assert ada.wait("message", with_id(told))["content"]["conversation"] == "and back"
    by_number = control.send(BOB, ADA, "by number", addressing="pn")
    assert ada.wait("message", with_id(by_number))["key"]["remoteJid"] == person(BOB)
    own = control.send(ADA, BOB, "own copy")
    assert ada.wait("message", with_id(own))["key"]["fromMe"]


def test_files_reactions_and_edits_go_both_ways(control: SimulatorClient, ada: Baileys) -> None:
    data = b"a document " * 5_000
    sent = ada.send(
        person(BOB),
        document=base64.b64encode(data).decode(),
        mimetype="application/pdf",
        fileName="a.pdf",
        caption="read",
    )
    found = on_phone(control, BOB, sent)
    assert (found["kind"], found["text"], found["fields"]["filename"], found["fields"]["media"]) == (
        "document", "read", "a.pdf", "ok",
    )  # fmt: skip
    assert control.download(BOB, sent) == data
    told = control.send_file(BOB, ADA, "image", b"picture" * 999)
    ada.wait("message", with_id(told))
    assert base64.b64decode(ada.do("download", id=told)["data"]) == b"picture" * 999

    key = ada.wait("message", with_id(told))["key"]
    ada.send(key["remoteJid"], react={"text": "👍", "key": key})
    wait_for(lambda: (control.message(BOB, told) or {})["reactions"] == {ADA: "👍"}, 10, "the reaction")
    text = ada.send(person(BOB), text="a tpyo")
    on_phone(control, BOB, text)
    ada.send(person(BOB), text="a typo", edit={"remoteJid": person(BOB), "fromMe": True, "id": text})
    wait_for(lambda: (control.message(BOB, text) or {})["text"] == "a typo", 10, "the edit")
    ada.send(person(BOB), delete={"remoteJid": person(BOB), "fromMe": True, "id": text})
    wait_for(lambda: (control.message(BOB, text) or {})["revoked"], 10, "the deletion")


def test_groups_work_with_phones_and_with_neonize(
    control: SimulatorClient, ada: Baileys, running: RunningSimulator, tmp_path: Path
) -> None:
    other = NeonizeClient(running.about, tmp_path / "cleo.db")
    try:
        link(control, other, CLEO)
        group = ada.do("group", subject="Mixed", members=[person(BOB), person(CLEO)])["id"]
        other.wait("joined")
        sent = ada.send(group, text="to all of you")
        assert other.wait("message", with_id(sent))["text"] == "to all of you"
        assert on_phone(control, BOB, sent)["chat"] == group
        answer = other.call("send_message", {"jid": group}, {"message": {"conversation": "from whatsmeow"}})["ID"]
        assert ada.wait("message", with_id(answer))["content"]["conversation"] == "from whatsmeow"
        told = control.send(BOB, group, "from a phone")
        assert ada.wait("message", with_id(told))["content"]["conversation"] == "from a phone"
        # A key that nobody was given is asked for.
        control.forget(BOB, "handed_out", group=group)
        lost = control.send(BOB, group, "asked for")
        ada.wait(
            "message",
            lambda event: event["id"] == lost and (event.get("content") or {}).get("conversation") == "asked for",
        )
    finally:
        other.close()


def test_what_it_sets_about_a_chat_is_known_to_the_phone(control: SimulatorClient, ada: Baileys) -> None:
    told = control.send(EVE, ADA, "archive me")
    ada.wait("message", with_id(told))
    lid = next(phone["lid"] for phone in control.phones() if phone["number"] == EVE)
    ada.do("archive", chat=lid, last=told)
    wait_for(lambda: control.settings(ADA)["chats"].get(lid, {}).get("archived"), 10, "the phone to know")
    assert control.log(kind="app_state_broken")[0] == []


def test_it_asks_its_phone_for_older_messages(control: SimulatorClient, ada: Baileys) -> None:
    """Before the history that came with linking, of which the last message is known here."""
    told = [control.send(EVE, ADA, f"number {i}") for i in range(4)]
    ada.wait("message", with_id(told[-1]))
    ada.do("older", id=told[-1], count=2)
    history = ada.wait("history", lambda event: event["syncType"] == 6)
    assert history["messages"] == told[1:3]


def test_it_asks_its_phone_for_a_message_it_could_not_read(control: SimulatorClient, ada: Baileys) -> None:
    """Ada's phone has a message of the device's own making, which the device pretends to have lost."""
    sent = ada.send(person(BOB), text="lost here, not there")
    on_phone(control, ADA, sent)
    request = ada.do("resend", key={"remoteJid": person(BOB), "fromMe": True, "id": sent})["request"]
    told = ada.wait("message", lambda event: request in json.dumps(event.get("content")))
    assert "webMessageInfoBytes" in json.dumps(told["content"])
    after = ada.events.index(told) + 1
    again = [event for event in ada.events[:after] if event.get("id") == sent]
    later = ada.wait("message", lambda event: event["id"] == sent and "content" in event and event not in again)
    assert later["content"]["extendedTextMessage"]["text"] == "lost here, not there"


def test_it_links_by_code(running: RunningSimulator, control: SimulatorClient, tmp_path: Path) -> None:
    client = Baileys(running.about, tmp_path / "eve")
    try:
        client.wait("qr")
        code = client.do("code", number=EVE)["code"]
        # Baileys does not wait for the server to take the request.
        wait_for(lambda: [one for one in control.log(kind="link_code")[0] if one["number"] == EVE], 10, "the request")
        assert control.enter_link_code(EVE, code)["device"] == 1
        client.wait("open")
        sent = client.send(person(BOB), text="by code")
        assert on_phone(control, BOB, sent)["text"] == "by code"
    finally:
        client.close()
