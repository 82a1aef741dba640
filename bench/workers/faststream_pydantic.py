"""FastStream with pydantic, as its documents have it: a batch subscriber that publishes a batch.

Knows nothing of limits, retries or dead letters; offsets are committed before a poll is
worked on, so one that is killed may lose it.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

from faststream import FastStream
from faststream.kafka import KafkaBroker
from pydantic import BaseModel, ConfigDict

from bench.workers.fast import BATCH_BYTES_MAX, BOOTSTRAP, REQUESTS, RESULTS, SUBSCRIPTION, dispatch


class Wire(BaseModel):
    """JSON whose names have hyphens."""

    model_config = ConfigDict(
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        serialize_by_alias=True,
    )


class Key(Wire):
    """A variable of the flow."""

    name: str
    value: str


class Call(Wire):
    """An element of a request."""

    client_identifier: str
    contact_numbers: list[str]
    keys: list[Key]


class Event(Call):
    """What is read."""

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
    status: Literal["accepted"] = "accepted"
    request_id: str


broker = KafkaBroker(BOOTSTRAP, max_batch_size=BATCH_BYTES_MAX)
app = FastStream(broker)


@broker.publisher(RESULTS, batch=True)
@broker.subscriber(REQUESTS, **SUBSCRIPTION)
async def handle(events: list[Event]) -> list[Result]:
    """One poll."""
    return await dispatch(events, _body, _request_id, _result)


def _body(flow_id: str, calls: Sequence[Event]) -> bytes:
    body = Body.model_construct(
        api_version="1.0", security_id="none", flow_id=flow_id, calls=list[Call](calls)
    )
    return body.model_dump_json().encode()


def _request_id(answer: bytes) -> str:
    return Answer.model_validate_json(answer).request_id


def _result(call: Event, request_id: str) -> Result:
    return Result(
        client_identifier=call.client_identifier, flow_id=call.flow_id, request_id=request_id
    )


if __name__ == "__main__":
    asyncio.run(app.run())
