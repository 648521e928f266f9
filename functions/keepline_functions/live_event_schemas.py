"""What requests about live events may contain."""

from __future__ import annotations

from keepline_functions.schemas import Query


class FollowEvents(Query):
    """Query of `GET /api/events`. Without names it is all events, without a session those of all sessions."""

    session_id: str | None = None
    events: str = "*"
    last_event_id: str | None = None

    def names(self) -> list[str]:
        """The names of the events that are asked for."""
        return [name.strip() for name in self.events.split(",")]
