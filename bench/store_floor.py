"""What the store alone takes of a message's way, at the same moment: two commits and a listener, by Google's client.

A message is accepted by a commit, its connector hears of it by a listener, and claims it by another commit before it leaves.
Here a process does just that in a running demo, with documents of its own: one is written, a listener tells, two are changed.
Keepline cannot be quicker than this. It has more listeners, whose part of the emulator's time is not in here.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from statistics import median
from typing import Any

from google.cloud import firestore

from keepline_local.stack import Stack

SAMPLES = 60
WARM_UP = 5
LIMIT_S = 30.0
COLLECTION = "bench-floor"


def floor_ms(stack: Stack, samples: int = SAMPLES) -> float:
    """From the answer of the first commit until the answer of the second: the median."""
    os.environ["FIRESTORE_EMULATOR_HOST"] = stack.run.firestore
    client = firestore.Client(project=stack.run.project)
    folder = client.collection(f"{COLLECTION}-{uuid.uuid4().hex[:8]}")
    heard: dict[str, threading.Event] = {str(n): threading.Event() for n in range(WARM_UP + samples)}
    listening = threading.Event()

    def hear(documents: list[Any], *_: Any) -> None:
        listening.set()
        for one in documents:
            heard[one.id].set()

    watch = folder.where(filter=firestore.FieldFilter("state", "==", "queued")).on_snapshot(hear)
    try:
        _wait(listening)
        took_ms = [_one(client, folder, name, event) for name, event in heard.items()]
    finally:
        watch.unsubscribe()
        client.close()
    return round(median(took_ms[WARM_UP:]), 2)


def _one(client: Any, folder: Any, name: str, heard: threading.Event) -> float:
    folder.document(name).set({"state": "queued", "text": "a message of some words"})
    began = time.perf_counter()
    _wait(heard)
    claim = client.batch()
    claim.update(folder.document(name), {"state": "sending"})
    claim.set(folder.document("claims").collection("of").document(name), {"by": "bench"})
    claim.commit()
    return 1000 * (time.perf_counter() - began)


def _wait(event: threading.Event) -> None:
    if not event.wait(LIMIT_S):
        raise SystemExit(f"the emulator's listener was silent for {LIMIT_S:.0f} s")
