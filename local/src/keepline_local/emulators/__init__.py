"""Google's own emulators: found or fetched, started, and their data kept.

For tests: `with firestore_emulator() as host:` and `with pubsub_emulator() as host:`.
"""

from keepline_local.emulators.catalog import FIRESTORE, PUBSUB, Emulator, Kind
from keepline_local.emulators.contexts import firestore_emulator, pubsub_emulator
from keepline_local.emulators.obtain import obtain

__all__ = ["FIRESTORE", "PUBSUB", "Emulator", "Kind", "firestore_emulator", "obtain", "pubsub_emulator"]
