"""What devices left in their journals on a machine: the fake's and the folder's keep the same promises."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keepline.domain.ids import DeviceName
from keepline.domain.link_events import HeardEvent, MessageHeard, NoticeHeard, ReceiptHeard
from keepline.ports.left_journals import LeftJournals
from keepline.testing.left_journals import MemoryLeftJournals
from keepline.testing.severed import Life
from keepline.testing.whatsapp_folder import FakeFolder
from keepline_connector import frames
from keepline_connector.cell.journal import Journal
from keepline_connector.folder_lock import FolderLock
from keepline_connector.left_journals import FolderLeftJournals

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MESSAGE = MessageHeard(1, "A1", "1@s.whatsapp.net", "1", None, False, "text", "hello", AT, None)
RECEIPT = ReceiptHeard(2, ("W1", "W2"), "delivered", AT)
NOTICE = NoticeHeard(3, "group.leave", "1@g.us", "one", AT, {"by": {"phone": None, "lid": "2"}})


class OnDisk:
    """Journals as cells write them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.journals: LeftJournals = FolderLeftJournals(folder)

    def leave(self, name: DeviceName, *heard: HeardEvent) -> None:
        folder = self._of(name)
        folder.mkdir(parents=True)
        with closing(Journal(folder / "journal.db", lambda seq, event: None)) as journal:
            for event in heard:
                told = frames.event_to_json(event)
                del told["seq"]
                journal.append(told)

    def open(self, name: DeviceName) -> Callable[[], None]:
        return FolderLock(self._of(name)).release

    def _of(self, name: DeviceName) -> Path:
        return self._folder / "_".join(name)


class InMemory:
    def __init__(self, _: Path) -> None:
        self._folders: dict[DeviceName, FakeFolder] = {}
        self.journals: LeftJournals = MemoryLeftJournals(lambda: self._folders, Life())

    def leave(self, name: DeviceName, *heard: HeardEvent) -> None:
        self._folders[name] = FakeFolder()
        for event in heard:
            self._folders[name].note(event)

    def open(self, name: DeviceName) -> Callable[[], None]:
        self._folders[name].holder = self

        def release() -> None:
            self._folders[name].holder = None

        return release


Machine = OnDisk | InMemory


@pytest.fixture(params=[OnDisk, InMemory])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    made: Machine = request.param(tmp_path)
    return made


async def test_what_was_heard_is_read_as_it_was_told(machine: Machine) -> None:
    machine.leave(("demo_s1", "a"), MESSAGE, RECEIPT, NOTICE)
    async with machine.journals.hold("demo_s1", "a") as journal:
        assert journal is not None
        assert list(await journal.read(10)) == [MESSAGE, RECEIPT, NOTICE]
        assert list(await journal.read(1)) == [MESSAGE]


async def test_what_is_acknowledged_is_forgotten_and_no_more(machine: Machine) -> None:
    machine.leave(("demo_s1", "a"), MESSAGE, RECEIPT)
    async with machine.journals.hold("demo_s1", "a") as journal:
        assert journal is not None
        await journal.acknowledge([1])
        assert list(await journal.read(10)) == [RECEIPT]
    assert await machine.journals.names(()) == [("demo_s1", "a")]
    async with machine.journals.hold("demo_s1", "a") as journal:
        assert journal is not None
        await journal.acknowledge([2])
    assert await machine.journals.names(()) == []


async def test_only_devices_that_left_something_and_do_not_run_are_named(machine: Machine) -> None:
    machine.leave(("demo_s1", "a"), MESSAGE)
    machine.leave(("demo_s1", "b"))
    machine.leave(("other_shop_x", "a"), MESSAGE)
    assert await machine.journals.names([("demo_s1", "a")]) == [("other_shop_x", "a")]


async def test_a_journal_that_a_cell_has_open_is_left_to_it(machine: Machine) -> None:
    machine.leave(("demo_s1", "a"), MESSAGE)
    release = machine.open(("demo_s1", "a"))
    async with machine.journals.hold("demo_s1", "a") as journal:
        assert journal is None
    release()
    async with machine.journals.hold("demo_s1", "a") as journal:
        assert journal is not None


async def test_who_reads_a_journal_keeps_cells_out(machine: Machine) -> None:
    machine.leave(("demo_s1", "a"), MESSAGE)
    async with machine.journals.hold("demo_s1", "a"), machine.journals.hold("demo_s1", "a") as second:
        assert second is None
