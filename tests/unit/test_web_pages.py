"""What the console's pages name by themselves is what the code behind the API has."""

from __future__ import annotations

import re
from pathlib import Path

from keepline.domain.link_quality import POOR_BELOW
from keepline.domain.webhook_events import EventType
from keepline.records.api_keys import USER_SCOPES
from keepline.usecases.limiting import LIMITS
from keepline.usecases.webhooks import LISTED_MAX, REPLAYED_MAX

WEB = Path(__file__).parents[2] / "web"


def words_of(file: str, name: str) -> set[str]:
    """The texts of a list in a module."""
    [found] = re.findall(rf"const {name} = \[(.*?)\];", (WEB / file).read_text(), re.S)
    return set(re.findall(r"'([^']+)'", found))


def test_webhooks_can_be_told_of_every_event() -> None:
    assert words_of("app/webhook_forms.js", "EVENTS") == {event.value for event in EventType}


def test_a_key_can_have_every_scope_of_a_user() -> None:
    assert words_of("pages/keys.js", "SCOPES") == set(USER_SCOPES)


def test_every_limit_has_a_name() -> None:
    english = (WEB / "i18n" / "en.js").read_text()
    assert set(re.findall(r"'limits\.of\.(\w+)'", english)) == {limit.name for limit in LIMITS}


def test_a_poor_connection_is_where_the_domain_has_it() -> None:
    assert f"POOR_BELOW = {POOR_BELOW};" in (WEB / "pages" / "connectors.js").read_text()


def test_a_replay_asks_for_no_more_than_the_api_takes() -> None:
    code = (WEB / "app" / "webhook_replay.js").read_text()
    assert f"const PAGE = {LISTED_MAX};" in code
    assert f"const AT_ONCE = {REPLAYED_MAX};" in code
