"""What the weekly rebuild says of a newer neonize, and of none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.rebuild import AGE_DAYS_MAX, ROOT, Report, age_days, judge, locked, write_patch


def report(**changes: object) -> Report:
    return Report(at="", from_version="1", **{"to_version": "1", "age_days": 10, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (report(), "current"),
        (report(to_version="2", passed=["install", "simulator"]), "opens"),
        (report(to_version="2", failed=["e2e"], age_days=200), "blocked"),
        (report(age_days=AGE_DAYS_MAX), "current"),
        (report(age_days=AGE_DAYS_MAX + 1), "blocked"),
    ],
)
def test_the_verdict_follows_from_what_was_tried(found: Report, verdict: str) -> None:
    judged = judge(found)
    assert judged.verdict == verdict
    assert judged.why


def test_a_library_in_use_ages_even_if_there_is_none_newer() -> None:
    assert "120 days" in judge(report(age_days=119)).why


def test_the_age_is_read_from_the_lock() -> None:
    package = locked(ROOT / "uv.lock")
    assert f'"neonize=={package["version"]}"' in (ROOT / "connector" / "pyproject.toml").read_text()
    assert age_days(package, datetime(2027, 1, 1, tzinfo=UTC)) > 0


def test_the_patch_can_be_applied_where_it_was_made(tmp_path: Path) -> None:
    copy, out = tmp_path / "copy", tmp_path / "out"
    out.mkdir()
    for file in ("connector/pyproject.toml", "connector/neonize.sha256", "uv.lock"):
        target = copy / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((ROOT / file).read_text())
    pinned = copy / "connector" / "pyproject.toml"
    pinned.write_text(pinned.read_text().replace('"neonize==', '"neonize==9.'))
    write_patch(copy, out)
    patch = (out / "neonize.patch").read_text()
    assert "--- a/connector/pyproject.toml\n+++ b/connector/pyproject.toml\n" in patch
    assert str(tmp_path) not in patch
    assert "uv.lock" not in patch, "what is the same is not in it"
