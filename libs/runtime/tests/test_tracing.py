"""Trace context, and its export when that is switched on."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from passferry_runtime.tracing import (
    SpanExport,
    batch_span,
    configure_tracing,
    current_traceparent,
    new_traceparent,
    span,
)

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture(params=["context only", "exported"])
def exporter(request, monkeypatch):
    monkeypatch.setattr(SpanExport, "tracer", None)
    memory = InMemorySpanExporter()
    if request.param == "context only":
        yield None
        return
    provider = SpanExport.start("ledger", memory)
    memory.flush = provider.force_flush  # type: ignore[attr-defined]  # for the test below
    yield memory
    provider.shutdown()


def test_a_span_continues_the_trace_of_its_parent(exporter):
    with span("outer", parent=PARENT) as outer:
        assert outer[:36] == PARENT[:36]
        assert outer != PARENT
        with span("inner") as inner:
            assert inner[:36] == PARENT[:36]
            assert current_traceparent() == inner
        assert current_traceparent() == outer
    assert current_traceparent() is None


@pytest.mark.parametrize(
    "broken",
    [None, "", "garbage", PARENT + "\n", PARENT.upper(), "00-" + "0" * 32 + PARENT[35:], "x" * 999],
)
def test_a_broken_parent_starts_a_new_trace(exporter, broken):
    with span("work", parent=broken) as own:
        assert len(own) == 55
        assert own[3:35] not in {"a" * 32, "0" * 32}


def test_a_span_ends_also_when_the_work_fails(exporter):
    with pytest.raises(RuntimeError), span("work"):
        raise RuntimeError("secret text")
    assert current_traceparent() is None
    if exporter is not None:
        exporter.flush()
        finished = exporter.get_finished_spans()
        assert [each.name for each in finished] == ["work"]
        assert "secret text" not in finished[0].to_json()


def test_exported_spans_have_the_ids_that_travel(exporter):
    with span("work", parent=PARENT) as own:
        pass
    if exporter is not None:
        exporter.flush()
        context = exporter.get_finished_spans()[0].context
        assert f"{context.trace_id:032x}" == own[3:35]
        assert f"{context.span_id:016x}" == own[36:52]


def test_nothing_is_exported_unless_an_endpoint_is_set(monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert configure_tracing("ledger") is None
    assert new_traceparent() != new_traceparent()


def test_each_subject_of_a_batch_stays_in_its_own_trace(exporter):
    other = PARENT.replace("a" * 32, "c" * 32)
    with batch_span("process", {"one": PARENT, "two": other, "three": None}):
        assert current_traceparent("one")[:36] == PARENT[:36]
        assert current_traceparent("two")[:36] == other[:36]
        assert current_traceparent("three")[3:35] not in {"a" * 32, "c" * 32}
        with span("inner", parent=PARENT) as inner:
            assert current_traceparent("two") == inner, "a span inside knows what it works on"
    assert current_traceparent("one") is None
