"""W3C trace context carried through requests, the outbox and Kafka.

Spans are exported only when `OTEL_EXPORTER_OTLP_ENDPOINT` is set and an exporter is installed;
without that, the context alone is kept, which costs a microsecond.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from passferry_runtime.ids import random_bytes

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
#: Tried in this order; each is a package of its own.
_EXPORTERS = (
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
#: In a batch, by the key of each record: one batch belongs to many traces.
_of_subjects: ContextVar[Mapping[str, str] | None] = ContextVar("of_subjects", default=None)
_propagator = TraceContextTextMapPropagator()


class SpanExport:
    """Where finished spans go; `tracer` is None when they go nowhere."""

    tracer: Tracer | None = None

    @classmethod
    def start(cls, service: str, exporter: SpanExporter) -> TracerProvider:
        """Send the spans of this process to `exporter`; shut the provider down at the end."""
        provider = TracerProvider(resource=Resource.create({"service.name": service}))
        provider.add_span_processor(BatchSpanProcessor(exporter))
        cls.tracer = provider.get_tracer("passferry")
        return provider


def configure_tracing(service: str) -> TracerProvider | None:
    """Start the export where it is wanted; raises `ImportError` when no exporter is installed."""
    if not os.environ.get(ENDPOINT_VARIABLE):
        return None
    for name in _EXPORTERS:
        try:
            exporter: SpanExporter = importlib.import_module(name).OTLPSpanExporter()
        except ImportError:
            continue
        return SpanExport.start(service, exporter)
    raise ImportError(f"{ENDPOINT_VARIABLE} is set, but no OTLP exporter is installed")


def new_traceparent() -> str:
    digits = random_bytes(24).hex()
    return f"00-{digits[:32]}-{digits[32:]}-01"


def current_traceparent(subject: str | None = None) -> str | None:
    """Of the surrounding span; in a batch, of the record whose key is `subject`."""
    of_subjects = _of_subjects.get()
    if of_subjects is not None and subject is not None and subject in of_subjects:
        return of_subjects[subject]
    return _traceparent.get()


@contextmanager
def span(name: str, *, parent: str | None = None) -> Iterator[str]:
    """A span of the trace that `parent` (or the surrounding span) belongs to."""
    above = parent if parent and _FORM.fullmatch(parent) else _traceparent.get()
    if SpanExport.tracer is not None:
        with _exported(SpanExport.tracer, name, above) as own, _as_current(own):
            yield own
        return
    with _as_current(own := _below(above)):
        yield own


def _below(above: str | None) -> str:
    """The context of a span that is exported nowhere."""
    own = new_traceparent()
    return own if above is None else f"{above[:36]}{own[36:52]}{above[52:]}"


@contextmanager
def batch_span(name: str, parents: Mapping[str, str | None]) -> Iterator[None]:
    """A span for each subject of a batch, in the trace of its own record.

    `parents`: by subject, the key that records and the events about them share.
    """
    if SpanExport.tracer is None:
        # As below, without a context manager for each record.
        of_subjects = {
            subject: _below(parent if parent and _FORM.fullmatch(parent) else None)
            for subject, parent in parents.items()
        }
        with _as_current(next(reversed(of_subjects.values()), _traceparent.get()), of_subjects):
            yield
        return
    with ExitStack() as spans:
        # A record without a context begins a trace; it must not join its neighbour's.
        of_subjects = {
            subject: spans.enter_context(span(name, parent=parent or new_traceparent()))
            for subject, parent in parents.items()
        }
        token = _of_subjects.set(of_subjects)
        try:
            yield
        finally:
            _of_subjects.reset(token)


@contextmanager
def _as_current(
    traceparent: str | None, of_subjects: Mapping[str, str] | None = None
) -> Iterator[None]:
    token, subjects = _traceparent.set(traceparent), _of_subjects.set(of_subjects)
    try:
        yield
    finally:
        _of_subjects.reset(subjects)
        _traceparent.reset(token)


@contextmanager
def _exported(tracer: Tracer, name: str, above: str | None) -> Iterator[str]:
    context = _propagator.extract({"traceparent": above}) if above else None
    # Exceptions are not recorded in the span: their texts may hold what logs would redact.
    with tracer.start_as_current_span(
        name, context=context, record_exception=False, set_status_on_exception=False
    ) as current:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(current))
        yield carrier["traceparent"]
