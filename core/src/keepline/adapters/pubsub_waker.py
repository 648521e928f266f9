"""Waking deliveries over Pub/Sub: one message names a lane. What a message is lost for, the minute round wakes again."""

from __future__ import annotations

import asyncio
import json

from google.api_core.exceptions import GoogleAPIError
from google.cloud import pubsub_v1  # type: ignore[attr-defined]  # the package google.cloud has several owners

from keepline.ports.webhook_calls import WakeFailed

TOPIC = "webhook-deliveries"
TIMEOUT_S = 10.0


class PubSubWaker:
    """The client finds an emulator by PUBSUB_EMULATOR_HOST."""

    def __init__(self, project: str) -> None:
        # One message at a time is waited for, so there is nothing to gather into batches.
        self._publisher = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_messages=1))
        self._topic = self._publisher.topic_path(project, TOPIC)

    async def wake(self, webhook: str, lane: str) -> None:
        data = json.dumps({"webhook": webhook, "lane": lane}).encode()
        published = self._publisher.publish(self._topic, data, timeout=TIMEOUT_S)
        try:
            await asyncio.wait_for(asyncio.wrap_future(published), TIMEOUT_S)
        except (TimeoutError, GoogleAPIError) as error:
            raise WakeFailed(f"publishing on {TOPIC} failed: {error!r}") from error
