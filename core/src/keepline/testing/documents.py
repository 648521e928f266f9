"""An in-memory document store with Firestore's rules: atomic commits, preconditions, versions, queries, watches.

A stored document is never changed, only replaced, so all readers share it: copying was half of what a simulated hour cost.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from keepline.ports.clock import Clock
from keepline.ports.documents import (
    COMMIT_WRITES_MAX,
    DELETE,
    SERVER_TIME,
    Create,
    Delete,
    Document,
    Fields,
    Merge,
    Put,
    Query,
    StoreConflict,
    Update,
    Version,
    Watch,
    Where,
    Write,
)

_UNCHANGEABLE = (str, int, bool, float, bytes, datetime, type(None))
_TICK = timedelta(microseconds=1)
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class MemoryDocuments:
    """Keeps documents in a dict. One commit is one step of the event loop, so it is atomic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._documents: dict[str, Document] = {}
        # The same documents by collection, under its path and (for collection groups) under its name alone.
        self._collections: dict[str, dict[str, Document]] = {}
        self._groups: dict[str, dict[str, Document]] = {}
        self._last_version: Version | None = None
        self._watches: list[_MemoryWatch] = []  # in their order: what happens must not depend on addresses
        self.commits = 0

    async def get(self, path: str) -> Document | None:
        await asyncio.sleep(0)
        return self._documents.get(path)

    async def query(self, query: Query) -> list[Document]:
        await asyncio.sleep(0)
        return self.run_query(query)

    async def count(self, query: Query) -> int:
        return len(await self.query(query))

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        await asyncio.sleep(0)
        if len(writes) > COMMIT_WRITES_MAX:
            raise ValueError(f"a commit of {len(writes)} writes is above the limit of {COMMIT_WRITES_MAX}")
        version = self._next_version()
        before = {write.path: self._documents.get(write.path) for write in writes}
        staged: dict[str, Document | None] = dict(before)
        for write in writes:
            self._apply(staged, write, version)
        versions = {path: self._store(path, document, version) for path, document in staged.items()}
        self.commits += 1
        changed: dict[tuple[str, bool], list[Document]] = {}  # by collection, and by group of that name
        for path in staged:
            collection, group = _collection_and_group(path)
            states = [state for state in (before[path], staged[path]) if state is not None]
            changed.setdefault((collection, False), []).extend(states)
            changed.setdefault((group, True), []).extend(states)
        for watch in list(self._watches):
            states = changed.get((watch.query.collection, watch.query.group), [])
            if any(_meets_all(state, watch.query) for state in states):
                watch.refresh()
        return [versions[write.path] for write in writes]

    @asynccontextmanager
    async def watch(self, query: Query) -> AsyncIterator[Watch]:
        watch = _MemoryWatch(query, self.run_query)
        self._watches.append(watch)
        try:
            yield watch
        finally:
            self._watches.remove(watch)

    def peek(self, path: str) -> Document:
        """A document that is known to be there, at this instant."""
        return self._documents[path]

    def run_query(self, query: Query) -> list[Document]:
        """The result of a query at this instant."""
        of_collection = (self._groups if query.group else self._collections).get(query.collection, {})
        found = [document for document in of_collection.values() if _meets_all(document, query)]
        found.sort(key=lambda document: document.path, reverse=query.descending)
        if query.order_by is not None:
            ordered = query.order_by
            found = [document for document in found if _lookup(document.fields, ordered) is not None]
            found.sort(key=lambda document: _lookup(document.fields, ordered), reverse=query.descending)
        return found[: query.limit]

    def _next_version(self) -> Version:
        now = self._clock.now()
        if self._last_version is not None and now <= self._last_version:
            now = self._last_version + _TICK
        self._last_version = now
        return now

    def _store(self, path: str, document: Document | None, version: Version) -> Version:
        """Keep what a commit made of a document, and return the version it has now."""
        collection, group = _collection_and_group(path)
        if document is None:
            self._documents.pop(path, None)
            self._collections.get(collection, {}).pop(path, None)
            self._groups.get(group, {}).pop(path, None)
            return version
        before = self._documents.get(path)
        if before is not None and before.fields == document.fields:
            return before.version  # As in Firestore, a write that changes nothing keeps the version.
        self._documents[path] = document
        self._collections.setdefault(collection, {})[path] = document
        self._groups.setdefault(group, {})[path] = document
        return document.version

    def _apply(self, staged: dict[str, Document | None], write: Write, version: Version) -> None:
        before = staged.get(write.path)
        match write:
            case Create():
                if before is not None:
                    raise StoreConflict(f"{write.path} exists")
                fields = _resolved(write.fields, version)
            case Put():
                fields = _resolved(write.fields, version)
            case Merge():
                fields = _deeply_merged(before.fields if before else {}, write.fields, version)
            case Update():
                _check_version(write.path, before, write.version, must_exist=True)
                assert before is not None
                fields = _merged(before.fields, write.fields, version)
            case Delete():
                _check_version(write.path, before, write.version, must_exist=write.version is not None)
                staged[write.path] = None
                return
        staged[write.path] = Document(write.path, fields, version, before.created if before else version)


class _MemoryWatch:
    """The newest result only: a slow reader skips the states in between, as with Firestore's listener."""

    def __init__(self, query: Query, run: Callable[[Query], list[Document]]) -> None:
        self.query = query
        self._run = run
        self._changed = asyncio.Event()
        self._last: list[Document] | None = None
        self._changed.set()

    def refresh(self) -> None:
        """A document of its result has changed, or one that could be in it."""
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Sequence[Document]]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            result = self._run(self.query)
            if result != self._last:
                self._last = result
                yield result


def _check_version(path: str, before: Document | None, version: Version | None, *, must_exist: bool) -> None:
    if before is None:
        if must_exist:
            raise StoreConflict(f"{path} does not exist")
    elif version is not None and before.version != version:
        raise StoreConflict(f"{path} was changed")


def _resolved(fields: Fields, version: datetime) -> dict[str, Any]:
    resolved: dict[str, Any] = {}
    for name, value in fields.items():
        if value is SERVER_TIME:
            resolved[name] = version
        elif type(value) in _UNCHANGEABLE:
            resolved[name] = value
        elif isinstance(value, Mapping):
            resolved[name] = _resolved(value, version)
        elif value is not DELETE:
            resolved[name] = _plain_copy(value)
    return resolved


def _merged(before: Fields, changes: Fields, version: datetime) -> dict[str, Any]:
    merged: dict[str, Any] = dict(before)
    for dotted, value in changes.items():
        *parents, name = dotted.split(".")
        target = merged
        for parent in parents:
            inner = target.get(parent)
            target[parent] = target = dict(inner) if isinstance(inner, dict) else {}
        if value is DELETE:
            target.pop(name, None)
        else:
            target.update(_resolved({name: value}, version))
    return merged


def _deeply_merged(before: Fields, changes: Fields, version: datetime) -> dict[str, Any]:
    merged: dict[str, Any] = _plain_copy(before)
    for name, value in changes.items():
        if value is DELETE:
            merged.pop(name, None)
        elif not isinstance(value, Mapping):
            merged.update(_resolved({name: value}, version))
        else:
            inner = merged.get(name)
            inside = _deeply_merged(inner if isinstance(inner, Mapping) else {}, value, version)
            if inside:
                merged[name] = inside
    return merged


def _collection_and_group(path: str) -> tuple[str, str]:
    collection = path.rpartition("/")[0]
    return collection, collection.rpartition("/")[2]


def _meets_all(document: Document, query: Query) -> bool:
    fields = document.fields
    for where in query.where:  # What is asked most, and of most documents only the first: so without a call.
        if where.op == "==" and "." not in where.field:
            if fields.get(where.field) != where.value:
                return False
        elif not _meets(fields, where):
            return False
    return True


def _lookup(fields: Fields, dotted: str) -> Any:
    if "." not in dotted:
        return fields.get(dotted)
    value: Any = fields
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _meets(fields: Fields, where: Where) -> bool:
    value = _lookup(fields, where.field)
    match where.op:
        case "==":
            return bool(value == where.value)
        case "in":
            return value in where.value
    if value is None or type(value) is not type(where.value):
        return False
    return bool(_ORDER[where.op](value, where.value))


def _plain_copy(value: Any) -> Any:
    """Of what a document can hold; the general `copy.deepcopy` takes ten times as long."""
    if type(value) in _UNCHANGEABLE:
        return value
    if isinstance(value, Mapping):
        return {name: _plain_copy(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_copy(inner) for inner in value]
    return value
