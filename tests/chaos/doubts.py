"""Which messages were ever shown as `in_doubt`: rows do not keep it, so it is watched, at the source that the API reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter

from keepline_local.run_file import Run

WATCH_CHECK_S = 1.0


class Doubts:
    """Watches from `start` to `stop`; `seen` are message ids."""

    def __init__(self, run: Run) -> None:
        self.seen: set[str] = set()
        with emulator(run.firestore):
            self._client = firestore.Client(project=run.project)
        self._query = self._client.collection("outbox").where(filter=FieldFilter("state", "==", "in_doubt"))
        self._watch = self._query.on_snapshot(self._changed)
        self._stopping = threading.Event()
        self._keeping = threading.Thread(target=self._keep, name="doubts", daemon=True)
        self._keeping.start()

    def stop(self) -> set[str]:
        self._stopping.set()
        self._keeping.join()
        self._watch.unsubscribe()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]
        return self.seen

    def _changed(self, documents: list[Any], *_: Any) -> None:
        self.seen.update(document.id for document in documents)

    def _keep(self) -> None:
        """The client's listener can end by itself; the next one is told at once what stands now."""
        while not self._stopping.wait(WATCH_CHECK_S):
            if not self._watch.is_active:
                self._watch = self._query.on_snapshot(self._changed)


@contextmanager
def emulator(host: str) -> Iterator[None]:
    """The client looks for the emulator in the environment, when it is made."""
    before = os.environ.get("FIRESTORE_EMULATOR_HOST")
    os.environ["FIRESTORE_EMULATOR_HOST"] = host
    try:
        yield
    finally:
        if before is None:
            del os.environ["FIRESTORE_EMULATOR_HOST"]
        else:
            os.environ["FIRESTORE_EMULATOR_HOST"] = before
