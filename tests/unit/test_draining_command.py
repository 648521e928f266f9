"""The command that takes a connector out of use: what it says before it asks Firestore for anything."""

from __future__ import annotations

import pytest

from keepline_connector import draining


def test_without_a_project_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KEEPLINE_PROJECT", raising=False)
    with pytest.raises(SystemExit) as ended:
        draining.main(["drain", "connector-1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "KEEPLINE_PROJECT is not set.\n"


@pytest.mark.parametrize("arguments", [["drain"], ["stop", "connector-1"]])
def test_what_it_does_not_understand_it_does_not_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("KEEPLINE_PROJECT", "p")
    with pytest.raises(SystemExit) as ended:
        draining.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m keepline_connector" in capsys.readouterr().err
