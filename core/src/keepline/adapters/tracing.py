"""OpenTelemetry traces of messages, where OTEL_EXPORTER_OTLP_ENDPOINT says who collects them; else nothing of it is loaded.

The steps of a message's way are in the log already, each with how long it took and the trace that it belongs to
(keepline/log_lines.py). So a span is made of each such line: what is traced and what is logged cannot differ, and the code that
sends messages knows nothing of traces. The context travels in the message's row (`origin.traceparent`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keepline.log_lines import FIELDS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_ATTRIBUTES = ("message_id", "session_id", "request_id", "state", "result", "error_code", "attempts", "status", "event")


def is_traced(environment: Mapping[str, str]) -> bool:
    """Whether somebody collects traces."""
    return bool(environment.get(ENDPOINT))


def start_tracing(service: str, loggers: tuple[str, ...]) -> None:
    """Send the spans of these loggers' lines to the collector. Needs the extra `tracing`."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}), id_generator=_ids())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    follow_log(provider, loggers)


def follow_log(provider: TracerProvider, loggers: tuple[str, ...]) -> logging.Handler:
    """Make spans of these loggers' lines."""
    handler = _Spans(provider)
    for name in loggers:
        logging.getLogger(name).addHandler(handler)
    return handler


_chosen = threading.local()


def _ids() -> Any:
    """Ids at random, but for the span that a caller was told of before it was made."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class ChosenIds(RandomIdGenerator):
        def generate_span_id(self) -> int:
            return getattr(_chosen, "span_id", None) or super().generate_span_id()

        def generate_trace_id(self) -> int:
            return getattr(_chosen, "trace_id", None) or super().generate_trace_id()

    return ChosenIds()


def provider_for(processor: Any) -> TracerProvider:
    """A provider whose spans go to a processor of the caller's choice."""
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(id_generator=_ids())
    provider.add_span_processor(processor)
    return provider


class _Spans(logging.Handler):
    """A span for each line that is a step: it ended when the line was written, and took as long as that says."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__(logging.INFO)
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("keepline")
        self._propagator = TraceContextTextMapPropagator()

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, FIELDS, None) or {}
        traceparent = fields.get("traceparent")
        if "step" not in fields or traceparent is None:
            return
        parent = traceparent
        if fields["step"] == "accept":
            # The one that all others are children of: its ids are those that the row has.
            _, trace_id, span_id, _ = traceparent.split("-")
            _chosen.trace_id, _chosen.span_id = int(trace_id, 16), int(span_id, 16)
            parent = fields.get("caller_traceparent")
        ended_ns = round(record.created * 1e9)
        began_ns = ended_ns - round(fields.get("took_ms", 0.0) * 1e6)
        try:
            span = self._tracer.start_span(
                fields["step"],
                context=self._propagator.extract({"traceparent": parent} if parent is not None else {}),
                start_time=began_ns,
                attributes={name: fields[name] for name in _ATTRIBUTES if name in fields},
            )
            span.end(ended_ns)
        finally:
            _chosen.trace_id = _chosen.span_id = None
