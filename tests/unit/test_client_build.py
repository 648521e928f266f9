"""How old the WhatsApp client is: read from the library that is installed, and nothing is claimed where it does not say."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keepline_connector.client_build import built_at_of, client_built_at

THEN = datetime(2025, 9, 5, 10, 10, 30, tzinfo=UTC)


def test_the_installed_library_says_of_when_its_client_is() -> None:
    before = set(sys.modules)
    built_at = client_built_at()
    assert built_at is not None
    assert datetime(2025, 1, 1, tzinfo=UTC) < built_at < datetime.now(UTC)
    assert "neonize" not in set(sys.modules) - before, "it is read, not loaded"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"..dep\tgo.mau.fi/whatsmeow\tv0.0.0-20250905101030-0123456789ab\th1:..",
            datetime(2025, 9, 5, 10, 10, 30, tzinfo=UTC),
        ),
        (
            b"/go/pkg/mod/go.mau.fi/whatsmeow@v0.0.0-20250905101030-0123456789ab/x.go",
            datetime(2025, 9, 5, 10, 10, 30, tzinfo=UTC),
        ),
        (b"go.mau.fi/whatsmeow\tv0.0.0-20251305101030-0123456789ab", None),
        (b"go.mau.fi/whatsmeow\tv1.2.3", None),
        (b"go.mau.fi/libsignal\tv0.0.0-20250905101030-0123456789ab", None),
        (b"", None),
    ],
)
def test_a_file_says_it_or_does_not(tmp_path: Path, content: bytes, expected: datetime | None) -> None:
    file = tmp_path / "library.so"
    file.write_bytes(content)
    assert built_at_of(file) == expected
