"""What Keepline relies on of a device's store, held by the fake and by the SQLite file alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from keepline.ports.session_file import Captured, SessionFile, SessionFileInvalid
from keepline.testing.session_file import FakeSessionDisk, MemorySessionFile
from keepline_connector.session_file import SqliteSessionFile
from tests.whatsmeow_store import PHONE, Store, sessions

BOB, EVE = "14155550199@s.whatsapp.net", "14155550198@s.whatsapp.net"


class Machine(Protocol):
    """One machine with one device's store: `file` is the port, the rest is what the library and fate do to it."""

    @property
    def file(self) -> SessionFile: ...
    def link(self) -> None: ...
    def unlink(self) -> None: ...
    def put(self, chat: str, ratchet: bytes) -> None: ...
    def put_own(self, ratchet: bytes) -> None: ...
    def drop(self, chat: str) -> None: ...
    def ratchets(self) -> dict[str, bytes]: ...
    def damage(self) -> None: ...


class MemoryMachine:
    def __init__(self) -> None:
        self._disk = FakeSessionDisk()
        self.file = MemorySessionFile(self._disk)

    def link(self) -> None:
        self._disk.linked = True

    def unlink(self) -> None:
        self._disk.linked = False

    def put(self, chat: str, ratchet: bytes) -> None:
        self._disk.put(f"ratchet:{chat}", ratchet)

    def put_own(self, ratchet: bytes) -> None:
        self._disk.put("ratchet:own:", ratchet)

    def drop(self, chat: str) -> None:
        self._disk.delete(f"ratchet:{chat}")

    def ratchets(self) -> dict[str, bytes]:
        rows = self._disk.rows
        return {key.removeprefix("ratchet:"): rows[key] for key in rows if key.startswith("ratchet:")}

    def damage(self) -> None:
        self._disk.damaged = True


class SqliteMachine:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "whatsapp.db"
        self.file = SqliteSessionFile(folder)

    def _store(self, work: Callable[[Store], None]) -> None:
        store = Store(self._path)
        work(store)
        store.close()

    def link(self) -> None:
        self._store(lambda store: store.link())

    def unlink(self) -> None:
        self._store(lambda store: store.unlink())

    def put(self, chat: str, ratchet: bytes) -> None:
        self._store(lambda store: store.put_session(_name(chat), ratchet))

    def put_own(self, ratchet: bytes) -> None:
        self.put(f"{PHONE}@s.whatsapp.net", ratchet)

    def drop(self, chat: str) -> None:
        self._store(lambda store: store.write("DELETE FROM whatsmeow_sessions WHERE their_id = ?", _name(chat)))

    def ratchets(self) -> dict[str, bytes]:
        names = {_name(chat): chat for chat in (BOB, EVE)} | {f"{PHONE}:0": "own:"}
        return {names[name]: session for name, session in sessions(self._path).items()} if self._path.exists() else {}

    def damage(self) -> None:
        self._path.write_bytes(b"not a database" * 1_000)


def _name(chat: str) -> str:
    return f"{chat.partition('@')[0]}:0"


@pytest.fixture(params=["memory", "sqlite"])
def new_machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Machine]]:
    made: list[Machine] = []

    def make() -> Machine:
        machine: Machine = MemoryMachine() if request.param == "memory" else SqliteMachine(tmp_path / str(len(made)))
        made.append(machine)
        return machine

    yield make


@pytest.fixture
def machine(new_machine: Callable[[], Machine]) -> Machine:
    return new_machine()


async def captured(machine: Machine) -> Captured:
    """What has changed, confirmed at once."""
    found = await machine.file.capture()
    assert found is not None
    await machine.file.confirm(found.mark)
    return found


async def test_there_is_nothing_before_the_library_came(machine: Machine) -> None:
    assert await machine.file.position() is None
    assert await machine.file.capture() is None
    assert await machine.file.snapshot() is None
    await machine.file.confirm(5)
    assert await machine.file.prune(0) == 0
    await machine.file.remove()
    assert await machine.file.position() is None


async def test_the_first_capture_is_whole_until_it_is_confirmed(machine: Machine) -> None:
    machine.link()
    first = await machine.file.capture()
    again = await machine.file.capture()
    assert first is not None
    assert again is not None
    assert (first.whole, again.whole) == (True, True)
    assert first.incarnation == again.incarnation
    await machine.file.confirm(first.mark)
    assert await machine.file.capture() is None
    machine.put(BOB, b"1")
    changed = await captured(machine)
    assert not changed.whole
    assert changed.mark > first.mark
    assert changed.incarnation == first.incarnation


async def test_what_is_not_confirmed_is_captured_again(machine: Machine, new_machine: Callable[[], Machine]) -> None:
    machine.link()
    start = await captured(machine)
    machine.put(BOB, b"1")
    lost = await machine.file.capture()
    machine.put(EVE, b"2")
    both = await captured(machine)
    assert lost is not None
    assert both.mark > lost.mark
    elsewhere = new_machine()
    await elsewhere.file.rebuild(start.data, [both.data], ())
    assert elsewhere.ratchets() == {BOB: b"1", EVE: b"2"}


async def test_what_changes_while_a_capture_is_on_its_way_is_not_confirmed_with_it(machine: Machine) -> None:
    machine.link()
    await captured(machine)
    machine.put(BOB, b"1")
    on_its_way = await machine.file.capture()
    assert on_its_way is not None
    machine.put(BOB, b"2")
    await machine.file.confirm(on_its_way.mark)
    assert await machine.file.capture() is not None


async def test_snapshot_and_changes_make_the_same_store_elsewhere(
    machine: Machine, new_machine: Callable[[], Machine]
) -> None:
    machine.link()
    machine.put(BOB, b"1")
    start = await captured(machine)
    machine.put(BOB, b"2")
    machine.put(EVE, b"1")
    first = await captured(machine)
    machine.drop(EVE)
    machine.put_own(b"\x00\xff")
    second = await captured(machine)
    elsewhere = new_machine()
    position = await elsewhere.file.rebuild(start.data, [first.data, second.data], ())
    assert elsewhere.ratchets() == machine.ratchets() == {BOB: b"2", "own:": b"\x00\xff"}
    assert position.linked
    assert position.incarnation != start.incarnation
    assert await elsewhere.file.position() == position
    assert await elsewhere.file.capture() is None


async def test_a_snapshot_covers_everything_whatever_is_confirmed(
    machine: Machine, new_machine: Callable[[], Machine]
) -> None:
    machine.link()
    machine.put(BOB, b"1")
    await captured(machine)
    machine.put(EVE, b"1")
    snapshot = await machine.file.snapshot()
    assert snapshot is not None
    assert snapshot.whole
    position = await machine.file.position()
    assert position is not None
    assert (snapshot.incarnation, snapshot.mark) == (position.incarnation, position.mark)
    elsewhere = new_machine()
    await elsewhere.file.rebuild(snapshot.data, (), ())
    assert elsewhere.ratchets() == {BOB: b"1", EVE: b"1"}
    assert await machine.file.capture() is not None, "a snapshot confirms nothing"


async def test_changes_that_a_snapshot_has_already_do_no_harm(
    machine: Machine, new_machine: Callable[[], Machine]
) -> None:
    machine.link()
    await captured(machine)
    machine.put(BOB, b"1")
    machine.drop(BOB)
    machine.put(EVE, b"1")
    snapshot = await machine.file.snapshot()
    changes = await machine.file.capture()
    assert snapshot is not None
    assert changes is not None
    elsewhere = new_machine()
    await elsewhere.file.rebuild(snapshot.data, [changes.data, changes.data], ())
    assert elsewhere.ratchets() == {EVE: b"1"}


async def test_forgotten_ratchets_are_gone_here_and_in_what_comes_after(
    machine: Machine, new_machine: Callable[[], Machine]
) -> None:
    machine.link()
    machine.put(BOB, b"1")
    machine.put(EVE, b"1")
    machine.put_own(b"1")
    start = await captured(machine)
    second = new_machine()
    position = await second.file.rebuild(start.data, (), [BOB])
    assert second.ratchets() == {EVE: b"1"}
    assert await second.file.position() == position
    forgotten = await captured(second)
    assert (forgotten.incarnation, forgotten.whole) == (position.incarnation, False)
    third = new_machine()
    await third.file.rebuild(start.data, [forgotten.data], ())
    assert third.ratchets() == {EVE: b"1"}


async def test_a_rebuilt_store_goes_on(machine: Machine, new_machine: Callable[[], Machine]) -> None:
    machine.link()
    start = await captured(machine)
    second = new_machine()
    await second.file.rebuild(start.data, (), ())
    second.put(BOB, b"7")
    more = await captured(second)
    third = new_machine()
    await third.file.rebuild(start.data, [more.data], ())
    assert third.ratchets() == {BOB: b"7"}


async def test_a_rebuild_takes_the_place_of_what_was_there(machine: Machine) -> None:
    machine.link()
    start = await captured(machine)
    machine.put(BOB, b"1")
    before = await machine.file.position()
    after = await machine.file.rebuild(start.data, (), ())
    assert before is not None
    assert after.incarnation != before.incarnation
    assert machine.ratchets() == {}


@pytest.mark.parametrize("part", ["snapshot", "change"])
async def test_bad_bytes_leave_no_file(machine: Machine, part: str) -> None:
    machine.link()
    start = await captured(machine)
    machine.put(BOB, b"1")
    change = await captured(machine)
    data = {"snapshot": start.data, "change": change.data}
    data[part] = data[part][:-1]
    with pytest.raises(SessionFileInvalid):
        await machine.file.rebuild(data["snapshot"], [data["change"]], ())
    assert await machine.file.position() is None


async def test_a_store_without_a_device_is_not_taken(machine: Machine, new_machine: Callable[[], Machine]) -> None:
    machine.link()
    start = await captured(machine)
    machine.put(BOB, b"1")
    machine.unlink()
    assert await machine.file.capture() is None
    assert await machine.file.snapshot() is None
    position = await machine.file.position()
    assert position is not None
    assert not position.linked
    machine.link()
    await captured(machine)
    elsewhere = new_machine()
    await elsewhere.file.rebuild(start.data, (), ())


async def test_a_damaged_file_is_as_good_as_none(machine: Machine) -> None:
    machine.link()
    start = await captured(machine)
    machine.damage()
    assert await machine.file.position() is None
    assert (await machine.file.rebuild(start.data, (), ())).linked


async def test_a_removed_file_is_gone(machine: Machine) -> None:
    machine.link()
    await machine.file.remove()
    assert await machine.file.position() is None
    assert machine.ratchets() == {}
