"""One message is followed through all parts by its id: in the logs, and as a trace."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from keepline.adapters.tracing import follow_log, is_traced, provider_for
from keepline.domain.link_events import SendOutcome
from keepline.domain.message import MessageState
from keepline.domain.send_queue import Plan
from keepline.domain.trace_context import child_of, trace_id_of, traceparent
from keepline.log_lines import FIELDS, JsonLines
from keepline.records import outbox
from keepline.usecases import message_steps
from keepline_local.following import show, steps

from .support import CHAT, World

CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    loggers = ("keepline", "keepline_functions")
    before = [logging.getLogger(name).level for name in loggers]
    for name in loggers:
        logging.getLogger(name).setLevel(logging.INFO)
    handler = follow_log(provider_for(SimpleSpanProcessor(exporter)), loggers)
    yield exporter
    for name, level in zip(loggers, before, strict=True):
        logging.getLogger(name).removeHandler(handler)
        logging.getLogger(name).setLevel(level)


def send(world: World, **headers: str) -> str:
    world.add_session(state="connected", code="connected", phone="14155550100")
    answer = world.client.post(
        "/api/messages/send",
        json={"session_id": "shop", "to": CHAT, "text": "a private text"},
        headers={**world.anna, "X-Request-Id": "r-1", **headers},
    )
    assert answer.status_code == 202
    return str(answer.get_json()["message_id"])


def go(world: World, message_id: str) -> None:
    """What the connector says of a message on its way."""
    document = world.document(outbox.row_path(message_id))
    assert document is not None
    row = outbox.to_outgoing(document)
    message_steps.committed("shop", Plan((), (), (row,), ()), 0.004)
    message_steps.handed_over("shop", row, SendOutcome("sent", "WA1"), 0.041)
    row.state = MessageState.SENT
    message_steps.committed("shop", Plan((row,), (0,), (), ()), 0.003)
    row.state = MessageState.DELIVERED
    message_steps.committed("shop", Plan((row,), (0,), (), ()), 0.003)


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_the_steps_of_a_message_are_one_trace_under_its_acceptance(world: World, spans: InMemorySpanExporter) -> None:
    object.__setattr__(world.process.services, "traced", True)
    message_id = send(world, traceparent=CALLERS)
    go(world, message_id)
    found = by_name(spans)
    assert set(found) == {"accept", "claim", "wire", "settle"}
    accept = found["accept"]
    assert accept.parent is not None and f"{accept.parent.span_id:016x}" == CALLERS.split("-")[2]
    for span in found.values():
        assert f"{span.context.trace_id:032x}" == CALLERS.split("-")[1]
        assert span.attributes is not None and span.attributes["message_id"] == message_id
        assert span.attributes["request_id"] == "r-1"
        if span is not accept:
            assert span.parent is not None and span.parent.span_id == accept.context.span_id
    wire = found["wire"]
    assert wire.start_time is not None and wire.end_time is not None
    assert wire.end_time - wire.start_time == 41_000_000


def test_without_a_callers_context_a_trace_begins_here(world: World, spans: InMemorySpanExporter) -> None:
    object.__setattr__(world.process.services, "traced", True)
    go(world, send(world))
    found = by_name(spans)
    assert found["accept"].parent is None
    assert len({span.context.trace_id for span in found.values()}) == 1
    assert found["settle"].parent.span_id == found["accept"].context.span_id  # type: ignore[union-attr]


def test_where_nobody_collects_traces_a_callers_context_is_passed_on(world: World) -> None:
    message_id = send(world, traceparent=CALLERS)
    assert world.fields(outbox.row_path(message_id))["origin"] == {"request_id": "r-1", "traceparent": CALLERS}
    assert not is_traced({}) and not is_traced({"OTEL_EXPORTER_OTLP_ENDPOINT": ""})


@pytest.mark.parametrize(
    "given",
    [None, "", "x", CALLERS + "-more", CALLERS.upper(), CALLERS.replace("00-", "01-"), f"00-{'0' * 32}-{'1' * 16}-01"],
)
def test_what_is_no_trace_context_is_not_kept(given: str | None) -> None:
    assert traceparent(given) is None
    begun = child_of(given, bytes(range(24)))
    assert traceparent(begun) == begun


def test_every_step_is_a_line_with_the_ids_and_nothing_private(
    world: World, caplog: pytest.LogCaptureFixture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        message_id = send(world, traceparent=CALLERS)
        go(world, message_id)
    records = [one for one in caplog.records if (getattr(one, FIELDS, None) or {}).get("message_id") == message_id]
    lines = [JsonLines("a-project").format(record) for record in records]
    said = [json.loads(line) for line in lines]
    assert [one["step"] for one in said] == ["accept", "claim", "wire", "settle", "settle"]
    for one in said:
        assert (one["session_id"], one["request_id"], one["severity"]) == ("shop", "r-1", "INFO")
        assert one["logging.googleapis.com/trace"] == f"projects/a-project/traces/{trace_id_of(CALLERS)}"
    for private in ("a private text", "4155550123", CHAT, world.anna["X-Api-Key"]):
        assert private not in "".join(lines)

    parts = {
        "functions": lines[:1],
        "connector-1": lines[1:3],
        "connector-2": [*reversed(lines[3:]), "no JSON", '{"cut'],
    }
    for part, its in parts.items():
        (tmp_path / f"{part}.log").write_text("\n".join(its) + "\n")
    assert [(step.part, step.fields["step"]) for step in steps(tmp_path, message_id)][:3] == [
        ("functions", "accept"),
        ("connector-1", "claim"),
        ("connector-1", "wire"),
    ]
    assert show(tmp_path, message_id) == 0
    assert capsys.readouterr().out.count("\n") == 5
    assert show(tmp_path, "m_other") == 1
