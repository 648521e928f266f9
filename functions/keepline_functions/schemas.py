"""What requests may contain. Anything else is refused by name, before anything is looked up or written."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from flask import Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from keepline.domain.errors import InvalidInput, KeeplineError
from keepline.domain.link_settings import Presence
from keepline.domain.message import OnDoubt
from keepline.domain.pacing import NORMAL
from keepline.domain.standby import StandbySetting
from keepline.records.accounts import ACCOUNTS_LISTED_MAX
from keepline.records.api_keys import SCOPES
from keepline.usecases.chats import MARKED_MAX
from keepline.usecases.message_lists import PAGE_MESSAGES_MAX
from keepline.usecases.session_settings import Changes, ProxyChoice
from keepline.usecases.sessions import SessionChoices

BODY_BYTES_MAX = 1024 * 1024
PAGE_MESSAGES_DEFAULT = 50
KEY_NAME_CHARACTERS_MAX = 100
_SHOWN_CHARACTERS_MAX = 60
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)")

_TIME_HINT = "write a time like 2026-01-31T12:00:00.000Z"

_Model = TypeVar("_Model", bound=BaseModel)


def _rfc3339(value: object) -> object:
    # pydantic alone would also take bare numbers as seconds or milliseconds, whichever fits.
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError(_TIME_HINT)
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # The first and the last hours of the calendar, seen from elsewhere.
        raise ValueError(_TIME_HINT) from None


# Not strict, though the body is: what comes out of a validator is no JSON any more, and a strict date takes no text then.
Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_rfc3339), AfterValidator(_in_utc)]


class Body(BaseModel):
    """What every JSON body has in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


Pace = Literal["careful", "normal", "off"]


class CreateSession(Body):
    """Body of `POST /api/sessions/create`; without an id one is made."""

    session_id: str | None = None
    """1 to 40 small letters, digits and inner hyphens; without one it is made."""
    on_doubt: Literal["resend", "hold"] | None = None
    """What holds for messages that do not say it themselves: `resend` (the default) or `hold`."""
    pacing: Pace | None = None
    """How fast its messages leave; `normal` if it is not said."""
    presence: Literal["available", "unavailable"] | None = None
    """How contacts see the number. With `available` its phone gets no notifications; `unavailable` is the default."""
    proxy: str | None = Field(None, repr=False)
    """The way to WhatsApp for this session alone: `socks5://name:password@host:port` or `http://…`."""
    standby: Literal["offer", "off"] | None = None
    """Whether a second device is offered when the first one is up; `offer` is the default."""

    def choices(self) -> SessionChoices:
        """What the owner chooses, with the defaults for the rest."""
        usual = SessionChoices()
        return SessionChoices(
            on_doubt=OnDoubt(self.on_doubt) if self.on_doubt else usual.on_doubt,
            standby=StandbySetting(self.standby) if self.standby else usual.standby,
            presence=Presence(self.presence) if self.presence else usual.presence,
            proxy=self.proxy,
            pacing=self.pacing or usual.pacing,
        )


class ChangeSession(Body):
    """Body of `PATCH /api/sessions/{session_id}`. What is not there stays; what is null goes back to its default."""

    on_doubt: Literal["resend", "hold"] | None = None
    """What holds for messages that do not say it themselves."""
    presence: Literal["available", "unavailable"] | None = None
    """How contacts see the number. With `available` its phone gets no notifications."""
    proxy: str | None = Field(None, repr=False)
    """The way to WhatsApp for this session alone. Null goes back to the connector's own."""
    pacing: Pace | None = None
    """How fast its messages leave."""
    standby: Literal["offer", "off"] | None = None
    """Whether a second device is offered when the first one is up."""

    def changes(self) -> Changes:
        """What the caller wants to be different."""
        named = self.model_fields_set
        return Changes(
            on_doubt=OnDoubt(self.on_doubt or OnDoubt.RESEND) if "on_doubt" in named else None,
            presence=Presence(self.presence or Presence.UNAVAILABLE) if "presence" in named else None,
            proxy=ProxyChoice(self.proxy) if "proxy" in named else None,
            pacing=(self.pacing or NORMAL.name) if "pacing" in named else None,
            standby=StandbySetting(self.standby or StandbySetting.OFFER) if "standby" in named else None,
        )


class AskForCode(Body):
    """Body of `POST /api/sessions/{id}/pairing-code`."""

    phone: str
    """The number that is to be linked, with its country code, with or without `+`."""
    slot: Literal["a", "b"] = "a"
    """`a` the session's first device, `b` its standby, whose number must be the session's own."""


class MakeKey(Body):
    """Body of `POST /api/keys`. Without `sessions` the key is for all of them."""

    name: Annotated[str, Field(min_length=1, max_length=KEY_NAME_CHARACTERS_MAX)]
    """For you to know it by."""
    scopes: Annotated[list[Literal["read", "send", "admin", "operator"]], Field(min_length=1, max_length=len(SCOPES))]
    """What its holder may do; none that its maker does not have."""
    sessions: Annotated[list[str], Field(min_length=1, max_length=ACCOUNTS_LISTED_MAX)] | None = None
    """The sessions that it is for."""


class MarkChatRead(Body):
    """Body of `POST /api/chats/{chat}/read`; without messages those that are not marked yet."""

    session_id: str
    messages: Annotated[list[str], Field(min_length=1, max_length=MARKED_MAX)] | None = None
    """The ids of messages of this chat that came in."""


class ShowTypingInChat(Body):
    """Body of `POST /api/chats/{chat}/typing`."""

    session_id: str
    state: Literal["composing", "recording", "paused"] = "composing"
    """`paused` shows nothing."""


class Query(BaseModel):
    """Everything in a query is text, so these convert."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ListDeadLetters(Query):
    """Query of `GET /api/dead-letters`."""

    session_id: Annotated[str, Field(examples=["support"])]
    """Whose."""
    limit: int = Field(PAGE_MESSAGES_DEFAULT, ge=1, le=PAGE_MESSAGES_MAX)
    """How many at a time."""
    before: Time | None = None
    """Only what is older; give the `next_before` of one page to get the next."""


class ListMessages(Query):
    """Query of `GET /api/messages`."""

    session_id: Annotated[str, Field(examples=["support"])]
    """Whose."""
    chat: str | None = None
    """Only this chat: a number or an address, as for sending."""
    limit: int = Field(PAGE_MESSAGES_DEFAULT, ge=1, le=PAGE_MESSAGES_MAX)
    """How many at a time."""
    before: Time | None = None
    """Only what is older; give the `next_before` of one page to get the next."""


def read_body(model: type[_Model], request: Request, *, may_be_empty: bool = False) -> _Model:
    """The request's JSON body. Raises InvalidInput, and werkzeug's errors for the wrong type (415) and too much (413)."""
    data = body_bytes(request)
    if not data and may_be_empty:
        return model()
    if not request.is_json:
        raise UnsupportedMediaType
    return parse_body(model, data)


def body_bytes(request: Request) -> bytes:
    """The request's body. Raises werkzeug's error for too much (413)."""
    data = request.get_data(cache=False)
    if len(data) > BODY_BYTES_MAX:
        raise RequestEntityTooLarge
    return data


def parse_body(model: type[_Model], data: bytes) -> _Model:
    """A JSON body as the model has it. Raises InvalidInput."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise _refusal(model, error) from None


def read_query(model: type[_Model], request: Request) -> _Model:
    """The request's query parameters. Raises InvalidInput."""
    for name, values in request.args.lists():
        if len(values) > 1:
            raise InvalidInput("bad_field", f"{_shown(name)} is given twice.", "Give every parameter once.")
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise _refusal(model, error) from None


def _refusal(model: type[BaseModel], error: ValidationError) -> KeeplineError:
    """The first thing that is wrong. What the caller sent is not repeated, only the name of its field."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    # A misspelt name is both missing and unknown; which name is unknown says more.
    detail = next((one for one in details if one["type"] == "extra_forbidden"), details[0])
    if detail["type"] == "json_invalid":
        return InvalidInput(
            "bad_json", "The body is not JSON.", _sentence(detail["msg"].removeprefix("Invalid JSON: "))
        )
    if not detail["loc"]:
        return InvalidInput("bad_json", "The body is not a JSON object.", "Send an object like {…}.")
    return _field_refusal(model, detail)


def _field_refusal(model: type[BaseModel], detail: ErrorDetails) -> InvalidInput:
    name = _shown(".".join(map(str, detail["loc"])))
    top = len(detail["loc"]) == 1
    known = f"The fields are: {', '.join(model.model_fields)}." if top else "docs/api.md lists the fields of each kind."
    match detail["type"]:
        case "extra_forbidden":
            return InvalidInput("unknown_field", f"There is no field {name} here.", known)
        case "missing":
            return InvalidInput("missing_field", f"The field {name} is missing.", known)
    what = _sentence(detail["msg"].removeprefix("Value error, "))
    return InvalidInput("bad_field", f"The field {name} is not right.", what)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _shown(name: str) -> str:
    return repr(name[:_SHOWN_CHARACTERS_MAX])
