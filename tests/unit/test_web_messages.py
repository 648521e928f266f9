"""The console says the same in every language, and has no message that is missing or that nobody uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
LANGUAGES = sorted(file.stem for file in (WEB / "i18n").glob("*.js"))
# The plural forms that Unicode's rules give a language for whole numbers.
FORMS = {"en": {"one", "other"}, "ro": {"one", "few", "other"}}

ENTRY = re.compile(r"^  '([^']+)': (.+),$", re.M)
CALL = re.compile(r"""\b(?:t|has)\(\s*(?:[\w.]+ \? )?(['"`])((?:(?!\1).)*)\1(?: : (['"`])((?:(?!\3).)*)\3)?""")
# Keys also stand in lists that a page goes through.
LISTED = re.compile(r"'([a-z_]+(?:\.[A-Za-z0-9_-]+)+)'")


def messages(language: str) -> dict[str, str]:
    found = ENTRY.findall((WEB / "i18n" / f"{language}.js").read_text())
    assert len(found) == len(dict(found)), f"{language} has a key twice"
    return dict(found)


def code() -> str:
    files = sorted([*(WEB / "app").glob("*.js"), *(WEB / "pages").glob("*.js")])
    lines = "\n".join(file.read_text() for file in files).splitlines()
    return "\n".join(line for line in lines if not line.startswith("//"))


def asked() -> tuple[set[str], set[str]]:
    """The keys that the code asks for, and the beginnings of those that it makes (`state.` of `state.${state}`)."""
    whole: set[str] = set()
    beginnings: set[str] = set()
    for _, first, _, second in CALL.findall(code()):
        for key in filter(None, (first, second)):
            if "${" in key:
                beginnings.add(key.partition("${")[0])
            else:
                whole.add(key)
    return whole, beginnings


def test_every_language_has_the_same_messages() -> None:
    english = messages("en")
    for language in LANGUAGES:
        assert set(messages(language)) == set(english), language


@pytest.mark.parametrize("language", LANGUAGES)
def test_messages_have_the_values_and_plural_forms_of_their_language(language: str) -> None:
    english = messages("en")
    for key, text in messages(language).items():
        assert (text[0] == "{") == (english[key][0] == "{"), f"{key} counts in one language only"
        if text[0] == "{":
            assert set(re.findall(r"(\w+): '", text)) == FORMS[language], key
        elsewhere = set(re.findall(r"\{(\w+)\}", english[key])) - {"n"}
        assert set(re.findall(r"\{(\w+)\}", text)) - {"n"} == elsewhere, key


def test_every_message_that_is_asked_for_exists() -> None:
    whole, beginnings = asked()
    english = set(messages("en"))
    assert whole - english == set()
    assert {beginning for beginning in beginnings if not any(key.startswith(beginning) for key in english)} == set()
    assert "" not in beginnings, "a key that is made has to begin with what it is about"


def test_no_message_is_unused() -> None:
    whole, beginnings = asked()
    whole |= set(LISTED.findall(code()))
    assert {key for key in messages("en") if key not in whole and not key.startswith(tuple(beginnings))} == set()


def test_every_page_has_a_name_and_every_group_a_heading() -> None:
    routes = (WEB / "app" / "routes.js").read_text()
    english = messages("en")
    names = re.findall(r"\{ name: '(\w+)'", routes)
    assert names
    for name in names:
        assert f"nav.{name}" in english
        assert (WEB / "pages" / f"{name}.js").is_file()
    for group in set(re.findall(r"group: '(\w+)'", routes)):
        assert f"nav.group.{group}" in english
