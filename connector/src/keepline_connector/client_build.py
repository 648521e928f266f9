"""Of when the WhatsApp client is: WhatsApp refuses old ones some day, and somebody should know before that.

neonize has whatsmeow in its shared library, and Go writes the versions of a program's modules into it. whatsmeow's is a
pseudo-version (go.dev/ref/mod): it begins with the time of the commit that it was built from. The file is read, never loaded.
"""

from __future__ import annotations

import importlib.util
import mmap
import re
from datetime import UTC, datetime
from pathlib import Path

# In the list of modules the parts are divided by tabs, in the names of source files by @.
_WHATSMEOW = re.compile(rb"go\.mau\.fi/whatsmeow[\t@]v0\.0\.0-(?:0\.)?(\d{14})-[0-9a-f]{12}")


def client_built_at() -> datetime | None:
    """The time of whatsmeow's commit in the library that is installed; None where it does not say."""
    found = importlib.util.find_spec("neonize")
    if found is None or found.origin is None:
        return None
    for library in sorted(Path(found.origin).parent.glob("*.so")):
        if (built_at := built_at_of(library)) is not None:
            return built_at
    return None


def built_at_of(library: Path) -> datetime | None:
    """What one file says."""
    if not library.stat().st_size:
        return None
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        said = _WHATSMEOW.search(content)
        digits = said[1].decode() if said is not None else ""
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
