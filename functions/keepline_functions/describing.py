"""How a route is described, beside itself: `@Described(…)`. openapi.py makes the API's description of it.

What holds for every route is not said here: whom it lets in (`auth.needs`), the errors of credentials, bodies and queries, and
the parameters of its address (`openapi.PATH_PARAMETERS`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel

_MARK = "keepline_description"

_View = TypeVar("_View", bound=Callable[..., Any])


class Tag(StrEnum):
    """The chapters of the description, in their order."""

    SESSIONS = "Sessions"
    LINKING = "Linking"
    MESSAGES = "Messages"
    MEDIA = "Files"
    CHATS = "Chats"
    GROUPS = "Groups"
    CONTACTS = "Contacts"
    WEBHOOKS = "Webhooks"
    EVENTS = "Live events"
    ALERTS = "Events and alerts"
    KEYS = "API keys"
    REPORTS = "Daily reports"
    OPERATING = "Operating"
    UPTIME = "Uptime"
    DESCRIPTION = "Description"


@dataclass(frozen=True)
class Header:
    """A header of a request or of an answer; none of them must be there."""

    name: str
    description: str
    example: str


@dataclass(frozen=True)
class Described:
    """A decorator for views. A view's docstring is its long description; `code` in it stands between backticks.

    `operation_id` is the method's name in clients. `answers`, by status, are a shape (of answers.py and its like) for JSON,
    None for nothing, or a map of media types, each with its shape, `str` or `bytes`. `errors` are the codes that the route can
    answer with besides those that its kind of request always can. `body` is a pydantic model or a union of them, or a map like
    an answer's; `examples` are JSON bodies, by a word or two each. `is_limited`: it uses one of the user's limits, so
    `rate_limited` and the headers of limits can be there. `optional_scope` is what a public route asks for when it is to say
    more.
    """

    tag: Tag
    operation_id: str
    summary: str
    _: KW_ONLY
    answers: Mapping[int, Any]
    errors: tuple[str, ...] = ()
    body: Any = None
    body_may_be_empty: bool = False
    query: type[BaseModel] | None = None
    headers: tuple[Header, ...] = ()
    answer_headers: tuple[Header, ...] = ()
    is_limited: bool = False
    optional_scope: str | None = None
    examples: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, view: _View) -> _View:
        setattr(view, _MARK, self)
        return view


def description_of(view: Callable[..., Any]) -> Described | None:
    """How a view is described, if it is."""
    found: Described | None = getattr(view, _MARK, None)
    return found
