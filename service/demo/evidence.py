"""Gathers the evidence: committed outcomes from the topics, and the pages of the provider's twin.

Knows nothing of what it proves (oracle.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urljoin

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from service.adapters.kafka.admin import admin_client, describe_topics
from service.adapters.kafka.connection import answered, goodbye
from service.demo.oracle import Outcome, Placed, Request
from service.errors import DispatcherError
from service.twin.ledger import CallSeen, RequestSeen, Summary

PAGE_SECONDS_MAX = 60.0
"""For one page of the twin; the ledger of a million calls takes some seconds."""
POLL_SECONDS = 0.2

Line = TypeVar("Line")


class TwinFailed(DispatcherError):
    """The provider's twin does not answer."""


class _Source(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Result(msgspec.Struct, rename="kebab"):
    flow_id: str
    client_identifier: msgspec.Raw
    status: str
    source: _Source


_decode_result = msgspec.json.Decoder(_Result).decode


class Outcomes:
    """Reads results and dead letters from their beginning, read_committed."""

    def __init__(self, bootstrap: str, results: str, dead_letters: str) -> None:
        self.found: list[Outcome] = []
        self._topics = (results, dead_letters)
        self._results = results
        self._bootstrap = bootstrap
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
        )

    async def start(self) -> None:
        """Begin at the first record of each partition; the topics must be there."""
        async with admin_client({"bootstrap_servers": self._bootstrap}) as admin:
            facts = await describe_topics(admin, self._topics)
        partitions = [
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in range(facts[topic].partitions)
        ]
        async with answered("reading outcomes"):
            await self._consumer.start()
            self._consumer.assign(partitions)
            for partition, first in (await self._consumer.beginning_offsets(partitions)).items():
                self._consumer.seek(partition, first)

    async def read_some(self) -> None:
        """Take what has come; waits shortly if that is nothing."""
        async with answered("reading outcomes"):
            runs = await self._consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000))
        for partition, records in runs.items():
            read = _result if partition.topic == self._results else _dead_letter
            self.found += map(read, records)

    async def read_to_end(self) -> None:
        """Take everything that is committed by now."""
        partitions = list(self._consumer.assignment())
        async with answered("asking for the ends of the outcomes"):
            ends = await self._consumer.end_offsets(partitions)
        while any([await self._consumer.position(each) < ends[each] for each in partitions]):
            await self.read_some()

    async def stop(self) -> None:
        """Leave the broker."""
        await goodbye(self._consumer.stop())


def _result(record: Any) -> Outcome:
    result = _decode_result(record.value)
    source = (result.source.topic, result.source.partition, result.source.offset)
    call = (result.flow_id, bytes(result.client_identifier).decode())
    return Outcome(source, result.status, call=call)


def _dead_letter(record: Any) -> Outcome:
    headers = {name: value.decode() for name, value in record.headers}
    partition, offset = (headers[f"__dlq.errors.{name}"] for name in ("partition", "offset"))
    source = (headers["__dlq.errors.topic"], int(partition), int(offset))
    digest = None if record.value is None else hashlib.sha256(record.value).digest()
    return Outcome(source, headers["dispatch.reason"], digest=digest)


class TwinPages:
    """The twin's pages under /twin/, by the URL that takes calls."""

    def __init__(self, url: str) -> None:
        self.address = urljoin(url, "/twin/")
        timeout = aiohttp.ClientTimeout(total=PAGE_SECONDS_MAX)
        self._session = aiohttp.ClientSession(timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def summary(self) -> Summary:
        """The ledger in figures."""
        return msgspec.json.decode(await self._ask("GET", "ledger"), type=Summary)

    async def placed(self) -> list[Placed]:
        """Every accepted call, as the oracle wants it."""
        return [
            Placed(call.flow_id, bytes(call.client_identifier).decode(), call.times)
            for call in await self.calls()
        ]

    async def calls(self) -> list[CallSeen]:
        """Every accepted call, with its times."""
        return await self._lines("ledger/calls", CallSeen)

    async def requests(self) -> list[RequestSeen]:
        """The requests in order of arrival, the last 100,000."""
        return await self._lines("requests", RequestSeen)

    async def program(self, script: object) -> None:
        """Put a script of faults in force."""
        await self._ask("POST", "faults", json=script)

    async def _lines(self, page: str, kind: type[Line]) -> list[Line]:
        lines: list[Line] = msgspec.json.Decoder(kind).decode_lines(await self._ask("GET", page))
        return lines

    async def _ask(self, method: str, page: str, **options: Any) -> bytes:
        try:
            async with self._session.request(method, self.address + page, **options) as answer:
                body = await answer.read()
                if not answer.ok:
                    raise TwinFailed(f"the twin refused {page}: {body.decode(errors='replace')}")
                return body
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TwinFailed(f"the twin does not answer: {error}") from error


def as_requests(seen: Sequence[RequestSeen]) -> list[Request]:
    """What the oracle asks of the twin's log."""
    return [
        Request(request.flow_id, request.calls, request.attempt, request.at)
        for request in seen
        if request.flow_id is not None
    ]
