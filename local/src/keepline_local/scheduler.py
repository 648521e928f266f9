"""Cloud Scheduler on one machine: a message on the topic of each scheduled function at the times of its cron expression."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from keepline_local.functions_table import Function, ScheduleTrigger

# The wall clock may jump (a laptop sleeps, NTP steps), so it is looked at again at least this often.
LOOK_AGAIN_S_MAX = 15.0
PUBLISH_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)

Publish = Callable[[str, datetime], None]
"""Publishes on a topic, with the time that the message was due."""


@dataclass(frozen=True)
class Due:
    """A function's next time."""

    function: Function
    at: datetime


class Schedule:
    """What is due when. Pure: the time is passed in."""

    def __init__(self, functions: Iterable[Function], now: datetime) -> None:
        self._next = [
            Due(f, f.trigger.cron.next_after(now)) for f in functions if isinstance(f.trigger, ScheduleTrigger)
        ]

    def wait_s(self, now: datetime) -> float:
        """Seconds to wait before asking again; never more than the limit."""
        soonest = min((due.at for due in self._next), default=None)
        if soonest is None:
            return LOOK_AGAIN_S_MAX
        return min(max(0.0, (soonest - now).total_seconds()), LOOK_AGAIN_S_MAX)

    def take(self, now: datetime) -> list[tuple[str, datetime]]:
        """(topic, time) of each function that is due. Times missed while nobody asked come once, as the cloud does it."""
        taken = []
        for index, due in enumerate(self._next):
            trigger = due.function.trigger
            if due.at > now or not isinstance(trigger, ScheduleTrigger):
                continue
            taken.append((trigger.topic, due.at))
            self._next[index] = Due(due.function, trigger.cron.next_after(now))
        return taken


def run(functions: Iterable[Function], project: str, stop: threading.Event) -> None:
    """Publish until `stop` is set. The client finds the emulator by PUBSUB_EMULATOR_HOST."""
    from google.cloud import pubsub_v1  # type: ignore[attr-defined]  # half a second to import: while the emulator starts, not before

    publisher = pubsub_v1.PublisherClient()

    def publish(topic: str, at: datetime) -> None:
        path = publisher.topic_path(project, topic)
        publisher.publish(path, b"{}", scheduled_at=_rfc3339(at)).result(timeout=PUBLISH_TIMEOUT_S)

    try:
        keep_publishing(Schedule(functions, datetime.now(UTC)), publish, stop)
    finally:
        publisher.stop()


def keep_publishing(schedule: Schedule, publish: Publish, stop: threading.Event) -> None:
    """The loop of `run`, with the publishing passed in."""
    failing = False
    while not stop.wait(schedule.wait_s(datetime.now(UTC))):
        for topic, at in schedule.take(datetime.now(UTC)):
            try:
                publish(topic, at)
            except Exception as error:  # noqa: BLE001 - the client raises many types, and the next minute must come anyway
                if not failing:
                    _log.warning("publishing on %s fails: %r", topic, error)
                failing = True
            else:
                if failing:
                    _log.info("publishing works again")
                failing = False


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
