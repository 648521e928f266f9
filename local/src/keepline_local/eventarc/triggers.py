"""Tell the emulators where events go: triggers in Firestore, topics and push subscriptions in Pub/Sub."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from keepline_local import loopback_http
from keepline_local.errors import LocalError
from keepline_local.functions_table import FirestoreTrigger, Function, topics

REQUEST_TIMEOUT_S = 10.0
EMULATORS_WAIT_S = 60.0
ACK_DEADLINE_S = 60
_POLL_S = 0.1


def wait_for_emulator(host: str, what: str, limit_s: float = EMULATORS_WAIT_S) -> None:
    """Return once the emulator at host:port answers; `LocalError` after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while not loopback_http.answers(f"http://{host}/"):
        if time.monotonic() > deadline:
            raise LocalError(f"{what} did not answer within {limit_s:.0f} s.")
        time.sleep(_POLL_S)


def register_firestore_triggers(host: str, project: str, functions: Sequence[Function]) -> None:
    """Register each function that a document sets off. Registering again is harmless."""
    for function in functions:
        if not isinstance(function.trigger, FirestoreTrigger):
            continue
        body = {
            "eventType": function.trigger.event_type,
            "database": "(default)",
            "namespace": "(default)",
            "document": {"value": function.trigger.document, "matchType": "PATH_PATTERN"},
        }
        url = f"http://{host}/emulator/v1/projects/{project}/eventarcTrigger?eventarcTriggerId={function.name}"
        answer = loopback_http.request("POST", url, body)
        if answer.status != 200:
            raise LocalError(
                f"The Firestore emulator refused the trigger of {function.name}: {answer.status} {answer.text}."
            )


def create_subscriptions(project: str, functions: Sequence[Function], push_url: str) -> None:
    """A topic and a push subscription for each function that has a topic. Creating them again is harmless.

    `push_url` is followed by the function's name. The client finds the emulator by PUBSUB_EMULATOR_HOST.
    """
    subscribed = topics(functions)
    if not subscribed:
        return
    # Half a second to import: while the emulators start, not before.
    from google.api_core.exceptions import AlreadyExists
    from google.cloud import pubsub_v1  # type: ignore[attr-defined]  # the package google.cloud has several owners

    publisher = pubsub_v1.PublisherClient()
    with pubsub_v1.SubscriberClient() as subscriber:
        for name, topic in subscribed.items():
            topic_path = publisher.topic_path(project, topic)
            subscription_path = subscriber.subscription_path(project, name)
            push = {"push_endpoint": f"{push_url}/{name}"}
            with contextlib.suppress(AlreadyExists):
                publisher.create_topic(name=topic_path, timeout=REQUEST_TIMEOUT_S)
            try:
                subscriber.create_subscription(
                    name=subscription_path,
                    topic=topic_path,
                    push_config=push,
                    ack_deadline_seconds=ACK_DEADLINE_S,
                    timeout=REQUEST_TIMEOUT_S,
                )
            except AlreadyExists:
                subscriber.modify_push_config(
                    subscription=subscription_path, push_config=push, timeout=REQUEST_TIMEOUT_S
                )
    publisher.stop()
