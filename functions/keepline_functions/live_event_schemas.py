"""What requests about live events may contain."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from keepline_functions.schemas import Query


class FollowEvents(Query):
    """Query of `GET /api/events`. Without names it is all events, without a session those of all sessions."""

    session_id: Annotated[str | None, Field(examples=["support"])] = None
    """Of this session only; without it of all that the key is for."""
    events: Annotated[str, Field(examples=["message,message.ack"])] = "*"
    """Names, with commas."""
    last_event_id: str | None = None
    """Where you were, if you cannot send the header."""

    def names(self) -> list[str]:
        """The names of the events that are asked for."""
        return [name.strip() for name in self.events.split(",")]
