"""First contacts: chats in which nothing was ever said, by nobody, are what gets numbers banned."""

from __future__ import annotations

import asyncio

from keepline.domain.send_queue import SendQueue
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore
from keepline.records import history, outbox

# Chats that are looked up at the same time, to know whether they are first contacts.
_LOOK_UPS_MAX = 20


async def look_up_strangers(store: DocumentStore, clock: Clock, account: str, queue: SendQueue) -> None:
    """Tell the queue, of each chat for which pacing asks it, whether it is a first contact."""
    now, now_s = clock.now(), clock.monotonic_s()
    while chats := queue.strangers_to_look_up(now, now_s, _LOOK_UPS_MAX):
        known_ones = await asyncio.gather(*(_is_known(store, account, chat) for chat in chats))
        for chat, known in zip(chats, known_ones, strict=True):
            queue.met(chat, stranger=not known)


async def _is_known(store: DocumentStore, account: str, chat: str) -> bool:
    if await store.query(history.newest_in_chat(account, chat, 1, None)):
        return True
    return bool(await store.query(outbox.taken_in_chat(account, chat)))
