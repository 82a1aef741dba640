"""Spans of a whole dispatcher, as a collector receives them by OTLP over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.dispatcher import call, scene, until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLS = 20


class Outside:
    """A collector, and a wire to the provider on which headers can be seen."""

    def __init__(self) -> None:
        self.provider = ""
        self.address = ""
        self.headers: list[set[str]] = []
        self.spans: list[Span] = []
        self.raw = b""

    async def collect(self, request: web.Request) -> web.Response:
        """OTLP's /v1/traces."""
        body = await request.read()
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response(content_type="application/x-protobuf")

    async def forward(self, request: web.Request) -> web.Response:
        """Hand a request to the twin, and its answer back."""
        self.headers.append({name.lower() for name in request.headers})
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.provider, data=await request.read()) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status)


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    """Both on one port of the loopback address."""
    seen = Outside()
    app = web.Application()
    app.router.add_post("/v1/traces", seen.collect)
    app.router.add_post("/{rest:.*}", seen.forward)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seen.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield seen
    await runner.cleanup()


async def test_a_batchs_span_reaches_the_collector_and_nothing_the_provider(
    kafka: str, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From upstream's trace one must come to the batch; numbers and names must not come along."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", outside.address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    async with scene(kafka, tracing={"enabled": True}) as stage:
        outside.provider = stage.url
        stage.url = outside.address + "/calls"
        traced = [("traceparent", f"00-{TRACE}-{SPAN}-01".encode())]
        await stage.publish([call(n) for n in range(CALLS)], headers=traced)
        malformed = [("traceparent", b"00-aa-bb-01")]
        await stage.publish([call(n) for n in range(CALLS, 2 * CALLS)], headers=malformed)
        dispatcher = await stage.run()
        await stage.settled()

        async def all_told() -> bool:
            return sum(_number(span, "dispatch.calls-accepted") for span in outside.spans) == 40

        await until(all_told)
        await dispatcher.process.stop(20)
        assert dispatcher.process.exit_code == 0
        batch_ids = {value["batch-id"] for value in (await stage.results()).values()}
    assert {_text(span, "dispatch.batch-id") for span in outside.spans} == batch_ids
    links = [link for span in outside.spans for link in span.links]
    assert {(link.trace_id.hex(), link.span_id.hex()) for link in links} == {(TRACE, SPAN)}
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in outside.spans)
    assert b"customer-" not in outside.raw
    assert b"9800000" not in outside.raw
    names = {"accept", "accept-encoding", "content-length", "content-type", "host", "user-agent"}
    assert outside.headers
    assert all(each <= names for each in outside.headers), outside.headers


def _number(span: Span, name: str) -> int:
    return sum(each.value.int_value for each in span.attributes if each.key == name)


def _text(span: Span, name: str) -> str:
    return "".join(each.value.string_value for each in span.attributes if each.key == name)
