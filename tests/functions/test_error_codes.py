"""The table of error codes says what the code says: every code, its category, and words that it can come with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepline.domain import errors
from keepline.domain.errors import KeeplineError, NotReady, TooMany
from keepline_functions.error_codes import ERROR_CODES

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "core" / "src" / "keepline").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
KINDS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}

Raised = tuple[str, type[KeeplineError], str, str]


def pattern(words: ast.expr) -> str:
    """What can be said where this expression stands, as a regular expression."""
    match words:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            return "".join(pattern(part) for part in parts)
    return r"[\s\S]+"


def raised() -> Iterator[Raised]:
    """Every place where an error of ours is made: its code, its category, and what it can say."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            kind = KINDS.get(name) or (NotReady if name.endswith("NotReady") else None)
            if isinstance(node.func, ast.Attribute) and node.func.attr == "__init__":
                kind = TooMany  # RateLimited: the only one with a class and words of its own
            code = node.args[0]
            if kind is not None and isinstance(code, ast.Constant) and isinstance(code.value, str):
                yield code.value, kind, pattern(node.args[1]), pattern(node.args[2])


RAISED = list(raised())


def test_every_code_that_is_raised_is_in_the_table_with_its_category() -> None:
    for code, kind, _, _ in RAISED:
        known = ERROR_CODES.get(code)
        assert known is not None, f"{code}: add it to keepline_functions/error_codes.py, with words that it comes with"
        assert known.category is not None, code
        assert issubclass(kind, known.category) or issubclass(known.category, kind), code


@pytest.mark.parametrize("code", [code for code, known in ERROR_CODES.items() if known.category is not None])
def test_an_error_can_come_with_the_words_of_the_table(code: str) -> None:
    words = ERROR_CODES[code].words
    places = [(message, hint) for raised_code, _, message, hint in RAISED if raised_code == code]
    if code in ("qr_not_available", "pairing_code_not_available"):  # linking.check_linkable is given these
        places = [(r".+", r".+")]
    assert any(re.fullmatch(message, words.message) and re.fullmatch(hint, words.hint) for message, hint in places)
