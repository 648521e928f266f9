"""Google's emulators as this machine may have them: which there are and where each can be taken from.

The pinned downloads are those of firebase-tools (its `src/emulator/downloadableEmulatorInfo.json` names address, size and
SHA-256 of each; commits 06367594e and 168c44e7d). A new version is a change of three lines here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Which of Google's emulators."""

    FIRESTORE = "Firestore"
    PUBSUB = "Pub/Sub"


@dataclass(frozen=True)
class Download:
    """A file with a known size and hash; `member_suffix` names the jar inside when it is a zip archive."""

    version: str
    url: str
    size_bytes: int
    sha256: str
    jar_name: str
    member_suffix: str | None = None


@dataclass(frozen=True)
class Emulator:
    """How to find and start one emulator. The globs are relative; the newest match is taken."""

    kind: Kind
    cloud_cli_glob: str
    cloud_cli_component: str
    firebase_glob: str
    firebase_setup: str
    main_class: str
    download: Download


_DROP = "https://storage.googleapis.com/firebase-preview-drop/emulator"

FIRESTORE = Emulator(
    kind=Kind.FIRESTORE,
    cloud_cli_glob="platform/cloud-firestore-emulator/cloud-firestore-emulator*.jar",
    cloud_cli_component="cloud-firestore-emulator",
    firebase_glob="cloud-firestore-emulator-v*.jar",
    firebase_setup="firebase setup:emulators:firestore",
    main_class="com.google.cloud.datastore.emulator.firestore.CloudFirestore",
    download=Download(
        version="1.22.0",
        url=f"{_DROP}/cloud-firestore-emulator-v1.22.0.jar",
        size_bytes=136_707_194,
        sha256="9b6498b7f62714d67f48f59b3818883cd682dbcd46b9f59511de81c97bb5166c",
        jar_name="cloud-firestore-emulator-v1.22.0.jar",
    ),
)

PUBSUB = Emulator(
    kind=Kind.PUBSUB,
    cloud_cli_glob="platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
    cloud_cli_component="pubsub-emulator",
    firebase_glob="pubsub-emulator-*/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
    firebase_setup="firebase setup:emulators:pubsub",
    main_class="com.google.cloud.pubsub.testing.v1.Main",
    download=Download(
        version="0.8.35",
        url=f"{_DROP}/pubsub-emulator-0.8.35.zip",
        size_bytes=53_015_972,
        sha256="b0f3b73a14b716ecf8925b7b8a0c8c858ffabddcf03df8b2b7fba682f48dc616",
        jar_name="cloud-pubsub-emulator-0.8.35-all.jar",
        member_suffix="-all.jar",
    ),
)
