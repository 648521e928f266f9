"""`accounts/{account}/notices/{id}`: a change of a group, or a call, that WhatsApp told of; one document whoever heard it.

Its write sets off what webhooks and listeners are told; nobody reads it afterwards, and Firestore removes it.
"""

from __future__ import annotations

from datetime import timedelta

from keepline.domain.ids import notice_id
from keepline.domain.link_events import NoticeHeard
from keepline.ports.documents import SERVER_TIME, Create, Query
from keepline.records.webhooks import KEPT_DAYS

NOTICES = "notices"


def new_notice(account: str, tenant: str, session_id: str, heard: NoticeHeard) -> Create:
    """The document of a notice; heard a second time it is refused, so that it is told once."""
    fields = {
        "tenant": tenant,
        "account": account,
        "session_id": session_id,
        "type": heard.event,
        "chat": heard.chat,
        "at": heard.at,
        "said": dict(heard.said),
        "recorded_at": SERVER_TIME,
        "expire_at": heard.at + timedelta(days=KEPT_DAYS),
    }
    return Create(notice_path(account, heard), fields)


def notice_path(account: str, heard: NoticeHeard) -> str:
    return f"accounts/{account}/{NOTICES}/{notice_id(account, heard.event, heard.name)}"


def notices_of_account(account: str, limit: int) -> Query:
    return Query(f"accounts/{account}/{NOTICES}", limit=limit)
