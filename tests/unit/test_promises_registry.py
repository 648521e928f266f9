"""A promise cannot change without its tests: each mistake is made in a copy, and must be named."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.checks.promises import PAGE, REGISTRY, problems, registry

ROOT = Path(__file__).parents[2]
A_TEST = "tests/e2e/test_promises.py::test_a_message_heard_before_a_kill_is_kept"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in (REGISTRY, PAGE, "Makefile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    for folder in (ROOT / "tests").iterdir():
        if folder.is_dir():
            (tmp_path / "tests" / folder.name).symlink_to(folder)
    return tmp_path


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_all_nine_promises_have_tests_and_stand_on_the_page(copy: Path) -> None:
    assert problems() == problems(copy) == []
    assert [promise.number for promise in registry()] == list(range(1, 10))


def test_a_changed_promise_without_a_changed_entry_is_found(copy: Path) -> None:
    change(copy / PAGE, "It never vanishes.", "It vanishes seldom.")
    found = problems(copy)
    assert any("has no tests" in problem and "It vanishes seldom." in problem for problem in found)
    assert any("does not say" in problem and "It never vanishes." in problem for problem in found)


def test_a_new_promise_without_an_entry_is_found(copy: Path) -> None:
    change(copy / PAGE, "9. **Bounded.**", "9. **Cheap.** It costs nothing.\n10. **Bounded.**")
    assert any("It costs nothing." in problem for problem in problems(copy))


def test_a_sentence_without_a_test_is_found(copy: Path) -> None:
    change(
        copy / REGISTRY, 'text = "It never vanishes."\ntests = [', 'text = "It never vanishes."\ntests = []\nfaults = ['
    )
    assert any("no test holds 'It never vanishes.'" in problem for problem in problems(copy))


@pytest.mark.parametrize("other", [A_TEST + "_for_ever", A_TEST.replace("test_promises.py", "test_nothing.py")])
def test_a_test_that_is_not_there_is_found(copy: Path, other: str) -> None:
    change(copy / REGISTRY, A_TEST, other)
    assert any(f"there is no {other}" in problem for problem in problems(copy))


def test_a_test_that_make_test_does_not_run_is_found(copy: Path) -> None:
    change(copy / "Makefile", " integration e2e chaos\n", " integration chaos\n")
    assert f"{REGISTRY}: `make test` does not run {A_TEST}" in problems(copy)
