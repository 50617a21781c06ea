"""Steps over records that the client library cannot take apart.

A header whose name is not UTF-8 is legal for the broker, and the library raises out of a fetch that
meets one: without this the process would end, and end again at the same record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

#: What the library raises for such a record.
UNREADABLE_ERRORS = (UnicodeDecodeError,)
TIMEOUT_MS = 1_000
#: Records before the bad one in what a single fetch can hold.
MAX_STEPS = 100_000

Accept = Callable[[TopicPartition, Sequence[Any]], None]
#: The offset that comes next after what was accepted, or None when nothing was.
NextOf = Callable[[TopicPartition], int | None]
GiveUp = Callable[[TopicPartition, int], Awaitable[None]]


async def step_over_unreadable(
    client: AIOKafkaConsumer, *, next_of: NextOf, accept: Accept, give_up: GiveUp
) -> None:
    """After a fetch that raised: accept what is good, and give up the first record that is not."""
    partitions = sorted(client.assignment())
    for partition in partitions:
        # What the failed call had taken of any partition is gone with it.
        await _go_back(client, partition, next_of)
    for partition in partitions:
        if not await _may_have_records(client, partition):
            continue
        try:
            await _take(client, partition, accept, most=1_000)
        except UNREADABLE_ERRORS:
            await _go_back(client, partition, next_of)
            await _step(client, partition, accept, give_up)


async def _go_back(client: AIOKafkaConsumer, partition: TopicPartition, next_of: NextOf) -> None:
    offset = next_of(partition)
    if offset is None:
        offset = await client.committed(partition)
    if offset is None:
        await client.seek_to_beginning(partition)
    else:
        client.seek(partition, offset)


async def _may_have_records(client: AIOKafkaConsumer, partition: TopicPartition) -> bool:
    end = client.highwater(partition)
    return end is None or bool(await client.position(partition) < end)


async def _take(
    client: AIOKafkaConsumer, partition: TopicPartition, accept: Accept, *, most: int
) -> int:
    batches = await client.getmany(partition, timeout_ms=TIMEOUT_MS, max_records=most)
    for source, records in batches.items():
        accept(source, records)
    return sum(map(len, batches.values()))


async def _step(
    client: AIOKafkaConsumer, partition: TopicPartition, accept: Accept, give_up: GiveUp
) -> None:
    """One by one up to the bad record, and past it."""
    for _ in range(MAX_STEPS):
        try:
            if not await _take(client, partition, accept, most=1):
                return
        except UNREADABLE_ERRORS:
            offset = await client.position(partition)
            await give_up(partition, offset)
            client.seek(partition, offset + 1)
            return
