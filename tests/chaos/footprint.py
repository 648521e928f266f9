"""Memory and file descriptors of a run's processes over time: whether something grows that should not."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from keepline_local.stack import Stack

SAMPLE_S = 3.0
HOUR_S = 3_600.0
# These keep all they ever had in memory: what the machine plays the cloud and WhatsApp with.
STAND_INS = frozenset({"firestore", "pubsub", "simulator", "runner"})
# Of a run without faults: by how much a part may grow from its first samples on. Caches fill, and each has a limit.
GROWTH_MAX = 0.1
FDS_MORE_MAX = 10
# The beginning is not judged: connections are opened and caches filled.
WARM_UP = 0.3


@dataclass(frozen=True)
class Sample:
    """Of a part with all its children. `pid`: it changes when the part is started again."""

    at_s: float
    pid: int
    rss_mb: float
    fds: int


@dataclass(frozen=True)
class Footprint:
    """A part's first and last figures (medians of a tenth of the samples) and their slopes after the warm-up, per hour."""

    rss_mb_first: float
    rss_mb_last: float
    rss_mb_per_h: float
    fds_first: float
    fds_last: float
    fds_per_h: float

    @property
    def is_flat(self) -> bool:
        return (
            self.rss_mb_last <= self.rss_mb_first * (1 + GROWTH_MAX) and self.fds_last <= self.fds_first + FDS_MORE_MAX
        )


class Footprints:
    """Looks at every part of a run, from its making until `stop`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._samples: defaultdict[str, list[Sample]] = defaultdict(list)
        self._began_s = time.monotonic()
        self._stopping = threading.Event()
        self._looking = threading.Thread(target=self._look, name="footprints", daemon=True)
        self._looking.start()

    def stop(self) -> dict[str, Footprint]:
        """By part; parts that were hardly ever there are left out."""
        self._stopping.set()
        self._looking.join()
        return {part: found for part, samples in self._samples.items() if (found := summary(samples)) is not None}

    def _look(self) -> None:
        while not self._stopping.wait(SAMPLE_S):
            at_s = time.monotonic() - self._began_s
            for part, pid in self._stack.run.pids.items():
                try:
                    processes = [pid, *_children(pid)] if part != "runner" else [pid]
                    sizes = [(_rss_mb(one), _fds(one)) for one in processes]
                except (OSError, StopIteration):
                    continue  # ended while we looked
                rss_mb, fds = (sum(values) for values in zip(*sizes, strict=True))
                self._samples[part].append(Sample(at_s, pid, rss_mb, int(fds)))


def summary(samples: list[Sample]) -> Footprint | None:
    """None for too few samples to say anything."""
    judged = [one for one in samples if one.at_s >= samples[0].at_s + WARM_UP * (samples[-1].at_s - samples[0].at_s)]
    if len(judged) < 4:
        return None
    tenth = max(2, len(judged) // 10)

    def ends(values: list[float]) -> tuple[float, float, float]:
        slope = linear_regression([one.at_s for one in judged], values).slope * HOUR_S
        return round(median(values[:tenth]), 1), round(median(values[-tenth:]), 1), round(slope, 1)

    return Footprint(*ends([one.rss_mb for one in judged]), *ends([float(one.fds) for one in judged]))


def growing(footprints: Mapping[str, Footprint]) -> list[str]:
    """Sentences about parts of ours that are not flat."""
    return [
        f"{part} grew from {one.rss_mb_first} to {one.rss_mb_last} MB and from {one.fds_first:.0f} to {one.fds_last:.0f} fds"
        for part, one in footprints.items()
        if part not in STAND_INS and not one.is_flat
    ]


def as_json(footprints: Mapping[str, Footprint]) -> dict[str, Any]:
    return {part: vars(one) for part, one in sorted(footprints.items())}


def _children(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    children = [int(pid) for pid in text.split()]
    return [one for child in children for one in (child, *_children(child))]


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _fds(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
