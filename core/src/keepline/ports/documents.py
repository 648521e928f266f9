"""The document store: atomic commits with preconditions, narrow queries, and watches. Firestore keeps it in production.

There is no read-write transaction here on purpose: a commit whose writes carry the versions that were read gives the same
guarantee without holding a lock (see docs/decisions/002-preconditions-instead-of-transactions.md).

Paths are `collection/id[/collection/id…]`. Values are what Firestore keeps: None, bool, int, float, str, bytes,
aware datetimes, lists and string-keyed maps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal, Protocol

Fields = Mapping[str, Any]

# Firestore: 500 writes in one commit (its limit until 2023, still the advice), 10 MiB in one request.
COMMIT_WRITES_MAX = 500
# Firestore: the values of one `in` filter.
IN_VALUES_MAX = 30


class Sentinel(Enum):
    """Values that the store itself fills in."""

    SERVER_TIME = "the time of the commit"
    DELETE = "remove this field"


SERVER_TIME = Sentinel.SERVER_TIME
DELETE = Sentinel.DELETE

# The time of a document's last change, as the store tells it, handed back unchanged. These times are the order of the commits,
# and results of queries and watches are snapshots: one that shows a commit shows all those before it.
Version = datetime


class StoreConflict(Exception):
    """A precondition failed: somebody else was there first. Nothing of the commit was applied."""


class StoreUnavailable(Exception):
    """The store did not answer, or refused for now. A commit may or may not have been applied."""


@dataclass(frozen=True)
class Document:
    """One document as it was read."""

    path: str
    fields: Fields
    version: Version
    created: Version

    @property
    def id(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Create:
    """Write a document that must not exist."""

    path: str
    fields: Fields


@dataclass(frozen=True)
class Put:
    """Write a whole document, whatever was there."""

    path: str
    fields: Fields


@dataclass(frozen=True)
class Merge:
    """Write these fields beside those that are there, inside of maps as well; a document that is not there is made of them.

    Several writers of different fields come to the same document in whatever order they write. An empty map is not written.
    """

    path: str
    fields: Fields


@dataclass(frozen=True)
class Update:
    """Change the named fields (`a.b` reaches into a map) of a document that must exist, at `version` if given."""

    path: str
    fields: Fields
    version: Version | None = None


@dataclass(frozen=True)
class Delete:
    """Remove a document; with `version` it must exist and be unchanged, without it need not exist."""

    path: str
    version: Version | None = None


Write = Create | Put | Merge | Update | Delete

Operator = Literal["==", "in", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Where:
    """A condition on one field."""

    field: str
    op: Operator
    value: Any


@dataclass(frozen=True)
class Query:
    """Documents of one collection (`group=True`: of every collection of that name) that meet all conditions."""

    collection: str
    where: tuple[Where, ...] = ()
    order_by: str | None = None
    descending: bool = False
    limit: int = field(kw_only=True)
    group: bool = False


class Watch(Protocol):
    """A live query: iterating gives the whole result at the start and again after every change, newest state only."""

    def __aiter__(self) -> AsyncIterator[Sequence[Document]]: ...


class DocumentStore(Protocol):
    """Every method raises StoreUnavailable when the store does not answer within its limit."""

    async def get(self, path: str) -> Document | None: ...

    async def query(self, query: Query) -> list[Document]: ...

    async def count(self, query: Query) -> int:
        """How many documents meet the query, up to its limit. Costs one read for each thousand, not one for each."""
        ...

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        """Apply all writes or none, and return each one's new version. Raises StoreConflict and StoreUnavailable."""
        ...

    def watch(self, query: Query) -> AbstractAsyncContextManager[Watch]: ...
