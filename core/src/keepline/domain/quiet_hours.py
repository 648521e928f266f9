"""The hours of the day in which nobody wants to hear of anything that can wait. Pure: the time comes as an argument."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keepline.domain.errors import InvalidInput

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True)
class QuietHours:
    """From one time of the day to another one, by the clocks of a place; over midnight where the second is the earlier."""

    begins: str
    ends: str
    time_zone: str

    @classmethod
    def checked(cls, begins: str, ends: str, time_zone: str) -> QuietHours:
        """Raises InvalidInput (`bad_quiet_hours`)."""
        try:
            known = ZoneInfo(time_zone) is not None
        except (ZoneInfoNotFoundError, ValueError, OSError):
            known = False
        if not known or begins == ends or not all(_CLOCK.fullmatch(text) for text in (begins, ends)):
            raise InvalidInput(
                "bad_quiet_hours",
                "These are no quiet hours.",
                "Give begins and ends like 22:00, two different times, and a time_zone like Europe/Bucharest.",
            )
        return cls(begins, ends, time_zone)

    def is_quiet(self, now: datetime) -> bool:
        """Whether this is a moment of them."""
        local = now.astimezone(ZoneInfo(self.time_zone)).time()
        begins, ends = time.fromisoformat(self.begins), time.fromisoformat(self.ends)
        if begins < ends:
            return begins <= local < ends
        return local >= begins or local < ends
