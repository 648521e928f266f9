"""Files of heard messages on the shipped fakes: who fetches them, when it is tried again, and what is said of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from keepline.domain.content.files import File
from keepline.domain.ids import inbound_media_id
from keepline.domain.link_events import MediaOutcome, MediaWaiting, MessageHeard
from keepline.domain.tag import message_tag
from keepline.records import changes, history, media
from keepline.records.accounts import Account
from keepline.records.heard_media import MediaFate, MediaState, settled
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.usecases.media_keeping import MediaKeeper
