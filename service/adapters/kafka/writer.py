"""The transactional producer of one lane.

Knows nothing of what it writes. Records are packed into batches here and sent whole
(`send_batch`), about a tenth of the cost of sending them one by one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)

from service.adapters.kafka.connection import answered, describe, goodbye
from service.adapters.kafka.lean import LeanBatch
from service.errors import CommitUnknown, LaneFenced, TopicsError
from service.ports import Outgoing, Write

BATCH_BYTES_MAX = 512 * 1024
"""Of one produced batch: below every usual `max.message.bytes`, large enough to need few."""
FENCE_KEY = b"fence"
"""Key of the record that a new owner writes first; no checkpoint has it."""
FENCE_VALUE = b"1"
TRANSACTION_SECONDS_MAX = 60.0
"""So long what a killed writer left open keeps readers waiting, unless a successor comes first."""
COMMIT_SECONDS = 15.0
"""A broker that was killed needs some of it to come back; after that the log is asked."""


def _look_at(future: asyncio.Future[Any]) -> None:
    """Nobody waits for this send any more; its error is not news."""
    if not future.cancelled():
        future.exception()


class KafkaWriter:
    """`Writer` on aiokafka."""

    def __init__(
        self,
        options: dict[str, Any],
        transactional_id: str,
        group_id: str,
        checkpoints: str,
        lane: int | None,
        transaction_seconds_max: float = TRANSACTION_SECONDS_MAX,
    ) -> None:
        """`lane` is the checkpoint partition to fence, or None for a writer of no lane."""
        self._transaction_ms_max = int(transaction_seconds_max * 1000)
        self._options = options
        self._transactional_id = transactional_id
        self._group_id = group_id
        self._checkpoints = checkpoints
        self._lane = lane
        self.fence_offset = -1
        """Where this producer's own record stands in the lane's checkpoint partition."""
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """See `Writer.start`."""
        self._producer = AIOKafkaProducer(
            **self._options,
            transactional_id=self._transactional_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES_MAX,
            transaction_timeout_ms=self._transaction_ms_max,
        )
        async with answered("starting the lane's producer"):
            await self._producer.start()
            if self._lane is not None:
                self.fence_offset = await self._fence(self._producer, self._lane)

    async def _fence(self, producer: AIOKafkaProducer, lane: int) -> int:
        """Commit a record that readers of this partition can wait for.

        Everything that an earlier owner committed stands before it. Without it the log may seem to
        end earlier: a broker that was killed answers EndTxn and InitProducerId before the markers
        of an older transaction have come back into sight (measured; docs/decisions/013).
        """
        await producer.begin_transaction()
        sent = await producer.send(
            self._checkpoints, value=FENCE_VALUE, key=FENCE_KEY, partition=lane
        )
        offset = int((await sent).offset)
        await producer.commit_transaction()
        return offset

    async def commit(self, outgoing: Outgoing) -> int:
        """See `Writer.commit`."""
        if self._producer is None:
            raise CommitUnknown("the lane's producer was not started")
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                return await self._commit(self._producer, outgoing)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise LaneFenced("another replica has taken the lane over") from error
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TopicsError(
                "the broker refused a record as too large: raise max.message.bytes of the "
                "results, dead letters and checkpoints topics to 1048588 or more"
            ) from error
        except (TimeoutError, KafkaError, OSError, AssertionError) as error:
            raise CommitUnknown(f"the transaction was not confirmed: {describe(error)}") from error

    async def _commit(self, producer: AIOKafkaProducer, outgoing: Outgoing) -> int:
        await producer.begin_transaction()
        now_ms = int(time.time() * 1000)
        key = outgoing.key or f"lane-{outgoing.lane}".encode()
        checkpoint: Write = (key, outgoing.checkpoint, [])
        sent: list[asyncio.Future[Any]] = []
        try:
            for (topic, partition), writes in outgoing.writes.items():
                await self._send(producer, topic, partition, writes, now_ms, sent)
            await self._send(producer, self._checkpoints, outgoing.lane, [checkpoint], now_ms, sent)
        except BaseException:
            for future in sent:
                future.add_done_callback(_look_at)
            raise
        # A commit succeeds although a send in it failed, unless every future is looked at.
        await asyncio.gather(*sent)
        stamps = [future.result().timestamp for future in sent]
        if outgoing.offsets:
            await producer.send_offsets_to_transaction(
                {TopicPartition(*tp): offset for tp, offset in outgoing.offsets.items()},
                self._group_id,
            )
        await producer.commit_transaction()
        return int(stamps[-1])

    @staticmethod
    async def _send(
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        writes: Iterable[Write],
        now_ms: int,
        sent: list[asyncio.Future[Any]],
    ) -> None:
        """Pack the records into as few batches as they fit; adds their futures to `sent`."""
        others = iter(writes)
        write = next(others, None)
        while write is not None:
            batch = LeanBatch(BATCH_BYTES_MAX)
            write = batch.fill(write, others, now_ms)
            sent.append(await producer.send_batch(batch, topic, partition=partition))

    async def stop(self) -> None:
        """See `Writer.stop`."""
        if self._producer is not None:
            await goodbye(self._producer.stop())
            self._producer = None
