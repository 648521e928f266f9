"""Live events: what happens, as it happens, over all that comes between."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx

from keepline_client import _answers
from keepline_client._async.pausing import pause
from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, query, strings
from keepline_client._listening import SILENCE_S_MAX, Place
from keepline_client.errors import KeeplineError
from keepline_client.types import KeptEvents, WebhookEvent


class AsyncEvents:
    """`keepline.events`"""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def listen(
        self, session_id: str | None = None, *, events: Sequence[str] = ("*",), last_event_id: str | None = None
    ) -> AsyncIterator[WebhookEvent]:
        """Each event of a session or of all, from now on or behind `last_event_id`, each once; `events` as for webhooks.

        It comes back by itself whenever the stream ends, and waits as long as Keepline is away once it was there. It ends when
        it is closed, or the client. To go on later, keep the id of the last event.
        Raises Gone (`events_gone`) when what followed is not kept any more: read GET /api/messages, and listen anew.
        """
        place = Place(last_event_id)
        while not self._transport.is_closed:
            error = None
            try:
                async with self._stream(session_id, events, place) as stream:
                    async for line in stream.aiter_lines():
                        event = place.hear(line)
                        if event is not None:
                            yield event
            except KeeplineError as failure:
                error = failure
            if not self._transport.is_closed:
                await pause(place.pause_s(error, self._transport.tries_max, random.random()))  # noqa: S311

    async def here(self) -> str:
        """Where things stand: who listens with this as `last_event_id` hears of all that happens from now on."""
        place = Place(None)
        async with self._stream(None, ("*",), place) as stream:
            async for line in stream.aiter_lines():
                place.hear(line)
                if place.last_event_id is not None:
                    return place.last_event_id
        raise KeeplineError("no_keepline_answer", "The stream of events ended before it began.", "Try again.")

    async def keep(self) -> KeptEvents:
        """Have events written to Firestore for three days more, for browsers that listen there."""
        kept: KeptEvents = await self._transport.json(Call("POST", "/api/events/keep", is_harmless=True))
        return kept

    @asynccontextmanager
    async def _stream(
        self, session_id: str | None, events: Sequence[str], place: Place
    ) -> AsyncIterator[httpx.Response]:
        asked = query(session_id=session_id, events=",".join(strings(events)))
        headers = {"Accept": "text/event-stream"}
        if place.last_event_id is not None:
            headers["Last-Event-ID"] = place.last_event_id
        call = Call("GET", "/api/events", query=asked)
        async with self._transport.stream(call, headers, silence_s_max=SILENCE_S_MAX) as stream:
            _answers.check_stream(stream)
            place.begin()
            yield stream
