"""Spans as whoever looks for a slow or failed batch finds them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from service.adapters.tracing import Tracing
from service.core.facts import (
    BatchClosed,
    BatchOpened,
    BatchSealed,
    Fact,
    LaneChanged,
    RequestEnded,
    RetryPlanned,
)
from service.core.traceparent import Parent
from service.errors import ConfigurationError
from tests.contracts.seen import SECURITY_ID

FLOW = "AbCd1234"
SAMPLED, UNSAMPLED = Parent(1, 2, sampled=True), Parent(3, 4, sampled=False)


def opened(batch_id: str, *parents: Parent, lane: int = 0) -> BatchOpened:
    """A batch of two calls."""
    return BatchOpened(lane, batch_id, FLOW, 2, parents)


def spans_of(*facts: Fact) -> dict[str, ReadableSpan]:
    """The spans that facts leave, by batch-id."""
    exporter = InMemorySpanExporter()
    tracing = Tracing("replica-1", 500, exporter)
    for fact in facts:
        tracing.tell(fact)
    tracing.close()
    return {
        str(attributes(span)["dispatch.batch-id"]): span for span in exporter.get_finished_spans()
    }


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """A span's attributes."""
    return span.attributes or {}


def test_a_batch_is_one_span_with_its_attempts_and_links() -> None:
    """A call that came late must be explained: by the limit, the provider, or retries."""
    spans = spans_of(
        opened("b1", SAMPLED, UNSAMPLED),
        BatchSealed("b1", FLOW, 2, 700, "linger"),
        RequestEnded("b1", FLOW, 2, 1, "no_answer", 2.0, "timed out: 919812345678"),
        RetryPlanned("b1", FLOW, "ambiguous", 0.5),
        RequestEnded("b1", FLOW, 2, 2, "200", 0.1, "Success"),
        BatchClosed("b1", 2),
    )
    span = spans["b1"]
    assert dict(attributes(span)) == {
        "messaging.system": "kafka",
        "messaging.batch.message_count": 2,
        "dispatch.batch-id": "b1",
        "dispatch.flow-id": FLOW,
        "dispatch.lane": 0,
        "dispatch.body-bytes": 700,
        "dispatch.sealed-by": "linger",
        "dispatch.attempts": 2,
        "dispatch.code": "200",
        "dispatch.calls-accepted": 2,
    }
    assert [each.name for each in span.events] == [
        "durable",
        "request ended",
        "retry planned",
        "request ended",
    ]
    assert [(each.context.trace_id, each.context.span_id) for each in span.links] == [(1, 2)]
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert span.resource.attributes["service.name"] == "call-dispatcher"
    assert span.resource.attributes["service.instance.id"] == "replica-1"
    assert "9198" not in span.to_json()


def test_what_upstream_does_not_sample_is_not_traced() -> None:
    """Upstream pays for what it samples; a span for each of its other batches would be noise."""
    spans = spans_of(opened("unsampled", UNSAMPLED), opened("untraced"), BatchClosed("untraced", 2))
    assert set(spans) == {"untraced"}


def test_a_batch_that_was_not_accepted_whole_is_an_error() -> None:
    """Whoever looks for failed batches looks for spans with an error."""
    spans = spans_of(
        opened("b1", SAMPLED), opened("b2"), BatchClosed("b1", 1), BatchClosed("b2", 2)
    )
    codes = {batch_id: span.status.status_code for batch_id, span in spans.items()}
    assert codes == {"b1": StatusCode.ERROR, "b2": StatusCode.UNSET}


@pytest.mark.parametrize(("state", "ended"), [("dropped", {"b1"}), ("fenced", {"b1", "b2"})])
def test_a_lost_lanes_batches_end_here(state: str, ended: set[str]) -> None:
    """They go on in another replica: kept here they would fill the memory, takeover by takeover."""
    spans = spans_of(
        opened("b1", lane=1),
        opened("b2", lane=2),
        LaneChanged(1, "owned"),
        LaneChanged(1, state),
        BatchClosed("b1", 2),
        BatchClosed("b2", 2),
        RequestEnded("b1", FLOW, 2, 1, "200", 0.1, ""),
    )
    left = {
        batch_id for batch_id, span in spans.items() if "dispatch.left-open" in attributes(span)
    }
    assert left == ended


def test_a_collector_that_is_away_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporting again and again would use up the time in which a pod may drain."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    tracing = Tracing("replica-1", 500)
    tracing.tell(opened("b1"))
    began = time.monotonic()
    tracing.close()
    assert time.monotonic() - began < 10


def test_a_variable_without_meaning_is_the_operators_to_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A traceback of a library's would tell an operator nothing."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with pytest.raises(ConfigurationError, match="OTEL_"):
        Tracing("replica-1", 500)


async def python(*arguments: str) -> tuple[int, str]:
    """Exit code and output of a Python process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"DISPATCHER_PROVIDER__SECURITY_ID": SECURITY_ID},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


WITHOUT_LIBRARIES = """
import sys
sys.modules["opentelemetry"] = None
from service.cli import main
sys.exit(main())
"""
LOADED = """
import sys, service.app
parts = ("service.adapters.tracing", "opentelemetry", "redis")
found = [name for name in sys.modules if name.startswith(parts)]
sys.exit(", ".join(found) or 0)
"""
"""The client of Redis is one of them: it imports OpenTelemetry where that is installed."""


async def test_off_it_is_not_even_imported() -> None:
    """Whoever does not trace pays nothing, and needs none of it installed."""
    code, said = await python(
        "-c",
        LOADED,
    )
    assert code == 0, said


async def test_without_its_libraries_one_line_names_the_extra(tmp_path: Path) -> None:
    """An operator who switches it on must read what to install, not a traceback."""
    config = tmp_path / "config.yaml"
    sections = {"provider": {"url": "http://127.0.0.1:9/"}, "tracing": {"enabled": True}}
    config.write_text(yaml.safe_dump(sections))
    code, said = await python(
        "-c",
        WITHOUT_LIBRARIES,
        *("run", "--config", str(config)),
    )
    assert code == 2
    assert said.count("\n") == 1
    assert "pip install call-dispatcher[tracing]" in said
