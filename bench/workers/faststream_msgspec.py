"""FastStream with msgspec, as its documents have it: a batch subscriber that publishes a batch.

Knows nothing of limits, retries or dead letters; offsets are committed before a poll is
worked on, so one that is killed may lose it.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec
from fast_depends.msgspec import MsgSpecSerializer
from faststream import FastStream
from faststream.kafka import KafkaBroker

from bench.workers.fast import BATCH_BYTES_MAX, BOOTSTRAP, REQUESTS, RESULTS, SUBSCRIPTION, dispatch


class Wire(msgspec.Struct, rename="kebab"):
    """JSON whose names have hyphens."""


class Key(Wire):
    """A variable of the flow."""

    name: str
    value: str


class Call(Wire):
    """An element of a request."""

    client_identifier: str
    contact_numbers: list[str]
    keys: list[Key]


class Event(Wire):
    """What is read."""

    client_identifier: str
    contact_numbers: list[str]
    keys: list[Key]
    flow_id: str


class Body(Wire):
    """What is sent."""

    api_version: str
    security_id: str
    flow_id: str
    calls: list[Call]


class Answer(Wire):
    """What of an answer is read."""

    request_id: str


class Result(Wire):
    """What is written."""

    client_identifier: str
    flow_id: str
    request_id: str
    status: Literal["accepted"] = "accepted"


broker = KafkaBroker(BOOTSTRAP, max_batch_size=BATCH_BYTES_MAX, serializer=MsgSpecSerializer())
app = FastStream(broker)
_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(Answer).decode


@broker.publisher(RESULTS, batch=True)
@broker.subscriber(REQUESTS, **SUBSCRIPTION)
async def handle(events: list[Event]) -> list[Result]:
    """One poll."""
    return await dispatch(events, _body, _request_id, _result)


def _body(flow_id: str, events: Sequence[Event]) -> bytes:
    calls = [Call(each.client_identifier, each.contact_numbers, each.keys) for each in events]
    return _encode(Body("1.0", "none", flow_id, calls))


def _request_id(answer: bytes) -> str:
    return _answer(answer).request_id


def _result(call: Event, request_id: str) -> Result:
    return Result(call.client_identifier, call.flow_id, request_id)


if __name__ == "__main__":
    asyncio.run(app.run())
