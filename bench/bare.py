"""What each stage costs at least: its bare operation alone, in this Python, in µs of CPU a call.

Knows nothing of the dispatcher: no rule, no bookkeeping, no loop, only data of the same shape.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import median

import aiohttp
import msgspec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from prometheus_client import CollectorRegistry, Counter

from bench.load import EVENT

CALLS = 500
"""Of one batch."""
ROUNDS, REPEATS = 7, 30
POSTS_WARM, POSTS = 50, 300
BATCH_BYTES_MAX = 512 * 1024
MAGIC = 2
"""Kafka's present form of a batch of records."""
_mobile = re.compile(r"[6-9][0-9]{9}", re.ASCII).fullmatch
_encode = msgspec.msgpack.Encoder().encode


class _Key(msgspec.Struct):
    name: str
    value: str


class _Event(msgspec.Struct, rename="kebab"):
    flow_id: str
    client_identifier: msgspec.Raw
    contact_numbers: list[str]
    keys: list[_Key]


class _Bare:
    """One batch of events, and an operation for each stage."""

    def __init__(self) -> None:
        self.numbers = [f"9{number:09d}" for number in range(CALLS)]
        self.values = [
            (EVENT % (f"Flow{number % 10:04d}", number, number, number)).encode()
            for number in range(CALLS)
        ]
        self.decode = msgspec.json.Decoder(_Event).decode
        self.fragments = self.fragment()
        self.records = bytes(self.write())
        self.counter = Counter("calls", "Calls.", registry=CollectorRegistry())

    def fetch(self) -> object:
        records = MemoryRecords(self.records)
        batch = records.next_batch()
        return [(record.offset, record.key, record.value) for record in batch]

    def decoded(self) -> object:
        return [self.decode(value) for value in self.values]

    def number(self) -> object:
        return [_mobile(number) for number in self.numbers]

    def fragment(self) -> list[bytes]:
        return [
            b'{"client-identifier":%b,"contact-numbers":["91%b"],"keys":%b}'
            % (b'"order-00000000"', b"9000000000", b'[{"name":"$flow.key.amount","value":"9"}]')
            for _ in self.numbers
        ]

    def ledger(self) -> object:
        offsets = set(range(CALLS))
        for offset in range(CALLS):
            offsets.discard(offset)
        return offsets

    def batch(self) -> object:
        drafts: dict[int, list[str]] = defaultdict(list)
        for number in self.numbers:
            drafts[0].append(number)
        return drafts

    def seal(self) -> object:
        return hashlib.sha256(b",".join(self.fragments)).digest()

    def outcome(self) -> object:
        return [
            b'{"client-identifier":%b,"partition":%d,"offset":%d,"timestamp":"%b"}'
            % (b'"order-00000000"', 1, offset, b"2026-01-01T00:00:00.000Z")
            for offset in range(CALLS)
        ]

    def write(self) -> bytes | bytearray:
        batch = BatchBuilder(BATCH_BYTES_MAX, 0, is_transactional=1)
        for value in self.values:
            batch.append(timestamp=1, key=b"customer-1", value=value)
        batch.close()
        written: bytes | bytearray = batch._build()  # noqa: SLF001 - the client has no public way
        return written

    def checkpoint(self) -> object:
        return _encode(list(range(CALLS)))

    def metrics(self) -> object:
        self.counter.inc(CALLS)
        return None


def bare() -> Mapping[str, float]:
    """µs of CPU a call by stage, but for the POST."""
    one = _Bare()
    operations: Mapping[str, Callable[[], object]] = {
        "fetch": one.fetch,
        "decode and validate": one.decoded,
        "number": one.number,
        "fragment": one.fragment,
        "ledger": one.ledger,
        "batch": one.batch,
        "seal": one.seal,
        "outcome": one.outcome,
        "write": one.write,
        "checkpoint": one.checkpoint,
        "metrics": one.metrics,
    }
    return {name: _us_per_call(operation) for name, operation in operations.items()}


def _us_per_call(operation: Callable[[], object]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        for _ in range(REPEATS):
            operation()
        rounds.append((time.process_time_ns() - started) / 1000 / REPEATS / CALLS)
    return median(rounds)


async def bare_post(url: str) -> float:
    """µs of CPU a call of one request of `CALLS` of them, one after the other, to a sink."""
    body = b'{"calls":[%b]}' % b",".join(_Bare().fragments)
    started = 0
    async with aiohttp.ClientSession() as session:
        for number in range(POSTS_WARM + POSTS):
            if number == POSTS_WARM:
                started = time.process_time_ns()
            async with session.post(url, data=body) as answer:
                await answer.read()
    return (time.process_time_ns() - started) / 1000 / POSTS / CALLS
