"""The consumer of one service: exact-key lanes, manual commits, parking, dead letters.

An offset is committed only when every record below it is done, parked or dead-lettered. Records
with equal keys are handled in order and one after another, whatever their topic; different keys
are handled at once, in batches that grow with the load.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from passferry_contracts.envelope import InvalidEvent, decode
from passferry_runtime.clock import Clock, SystemClock
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.kafka.dead_letters import DeadLetters
from passferry_runtime.kafka.lanes import Item, LaneScheduler
from passferry_runtime.kafka.offsets import OffsetTracker
from passferry_runtime.kafka.parking import ParkedRecord, ParkingLot, ToPark
from passferry_runtime.kafka.producer import KafkaUnavailable, Producer
from passferry_runtime.kafka.records import (
    Incoming,
    IncomingRecord,
    Outcome,
    Route,
    incoming_record,
)
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.lifecycle import Check, CheckResult, Worker
from passferry_runtime.logging import get_logger
from passferry_runtime.metrics import (
    CONSUMER_BATCH_RECORDS,
    CONSUMER_LAG,
    CONSUMER_LAST_POLL,
    CONSUMER_REBALANCES,
    EVENTS_CONSUMED,
)
from passferry_runtime.postgres import UNAVAILABLE, Database
from passferry_runtime.tracing import batch_span

log = get_logger(__name__)

POLL_TIMEOUT_MS = 100
POLL_RECORDS = 1_000
#: How long a broker holds a fetch that finds nothing. The client leaves out partitions whose
#: records were not taken yet, for at most 100 ms; taken at once, none waits for this.
FETCH_WAIT_MS = 500
#: After records came, the next look is no sooner: under load this makes larger batches.
POLL_SPACING_S = 0.015
#: Above HIGH_WATER records in work, fetching pauses; below LOW_WATER it goes on.
HIGH_WATER, LOW_WATER = 5_000, 2_500
#: A topic rests as long as its last batch took, this long at most, unless a larger one is there
#: already. On a busy machine batches take longer, so they grow: many small ones would choke it.
LONGEST_REST_S = 0.1
COMMIT_INTERVAL_S = 0.3
LAG_INTERVAL_S = 2.0
PARKING_INTERVAL_S = 0.2
#: Behind a head that succeeds the rest of its lane follows at once, this many at most.
MAX_RETRY_ROUNDS = 1_000
DRAIN_TIMEOUT_S = 20.0
QUICK_TRIES = 3
QUICK_PAUSE_S = 0.05
UNAVAILABLE_PAUSE_S = (0.1, 3.0)
#: Lag without any record for this long means a client that stopped silently: end the process.
STUCK_AFTER_S = 90.0

AssignedCallback = Callable[[set[tuple[str, int]]], Awaitable[None]]


class ConsumerStuck(Exception):
    """The client fetches nothing although there is something; only a restart helps."""


class Consumer:
    """One member of `group`. `worker` runs it; `check` tells whether it has joined."""

    def __init__(
        self,
        *,
        service: str,
        settings: KafkaSettings,
        routes: Sequence[Route],
        database: Database,
        group: str | None = None,
        clock: Clock | None = None,
        on_assigned: AssignedCallback | None = None,
    ) -> None:
        self._service = service
        self._settings = settings
        self._routes = {route.topic.name: route for route in routes}
        self._group = settings.group_prefix + (group or service)
        self._clock = clock or SystemClock()
        self._on_assigned = on_assigned
        self._lanes = LaneScheduler()
        self._parking = ParkingLot(
            database, self._clock, first_retry_s=settings.parking_first_retry_s
        )
        #: by topic (without prefix) and partition
        self._trackers: dict[tuple[str, int], OffsetTracker] = {}
        self._epoch = 0
        self._running: set[asyncio.Task[None]] = set()
        self._busy_topics: set[str] = set()
        self._in_work = 0
        self._accepting = False
        self._stopping = False
        self._joined = False
        self._is_paused = False
        self._is_stuck = False
        self._fetched_at = 0.0
        self._trouble = ""
        self._dead_letters: DeadLetters | None = None
        self._client: AIOKafkaConsumer | None = None
        self.worker = Worker(name=f"consumer-{self._group}", run=self.run, stop=self.stop)
        self.check = Check(name=f"consumer-{self._group}", probe=self._probe)

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        """Consume until stopped, then drain, commit and leave the group."""
        async with Producer.open(
            self._settings, client_id=f"{self._settings.client_id}-dead-letters"
        ) as producer:
            self._dead_letters = DeadLetters(producer, service=self._service, group=self._group)
            self._client = self._new_client()
            prefix = self._settings.topic_prefix
            topics = [prefix + name for name in self._routes]
            self._client.subscribe(topics, listener=_Listener(self))
            await self._client.start()
            helpers = [
                asyncio.create_task(self._commit_regularly()),
                asyncio.create_task(self._retry_parked_regularly()),
                asyncio.create_task(self._watch_lag()),
            ]
            try:
                await self._poll_until_stopped()
                await self._drain()
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                await self._leave()

    def _new_client(self) -> AIOKafkaConsumer:
        settings = self._settings
        return AIOKafkaConsumer(
            bootstrap_servers=settings.brokers,
            client_id=settings.client_id,
            group_id=self._group,
            group_instance_id=settings.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_poll_records=POLL_RECORDS,
        )

    # --- fetching -------------------------------------------------------------------------

    async def _poll_until_stopped(self) -> None:
        client = self._require_client()
        self._fetched_at = time.monotonic()
        while not self._stopping:
            batches = await client.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS)
            CONSUMER_LAST_POLL.set_to_current_time()
            for partition, records in batches.items():
                self._accept(partition, records)
            if batches:
                self._fetched_at = time.monotonic()
            if self._is_stuck:
                raise ConsumerStuck(f"{self._group} has lag and fetches nothing")
            self._dispatch()
            self._pause_or_resume(client)
            if batches:
                await asyncio.sleep(POLL_SPACING_S)

    def _pause_or_resume(self, client: AIOKafkaConsumer) -> None:
        waiting = self._in_work + self._lanes.queued
        is_lot_full = self._parking.size >= self._settings.parking_max_records
        if not self._is_paused and (waiting >= HIGH_WATER or is_lot_full):
            client.pause(*client.assignment())
            self._is_paused = True
            log.info("consumer_paused", group=self._group, parked=self._parking.size)
        elif self._is_paused and waiting < LOW_WATER and not is_lot_full:
            client.resume(*client.assignment())
            self._is_paused = False

    def _accept(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        topic, number = self._own_name(partition)
        tracker = self._trackers.get((topic, number)) if self._accepting else None
        if tracker is None:
            # The client hands records out before its listener has been called to the end. Were
            # they just dropped, the position would pass them: go back instead.
            client = self._require_client()
            if partition in client.assignment():
                client.seek(partition, records[0].offset)
            return
        route = self._routes[topic]
        prefix = self._settings.topic_prefix
        for raw in records:
            record = incoming_record(raw, prefix)
            tracker.start(record.offset)
            self._lanes.add(Item(record, route, _lane_of(route, record), self._epoch))

    async def _watch_lag(self) -> None:
        """Tell the lag, and notice a client that has silently stopped fetching."""
        client = self._require_client()
        while True:
            await asyncio.sleep(LAG_INTERVAL_S)
            lag = 0
            for partition in client.assignment():
                end = client.highwater(partition)
                if end is not None and self._joined:
                    lag += max(0, end - await client.position(partition))
            CONSUMER_LAG.labels(group=self._group).set(lag + self._in_work + self._lanes.queued)
            if lag == 0 or self._is_paused:
                self._fetched_at = time.monotonic()
            self._is_stuck = time.monotonic() - self._fetched_at > STUCK_AFTER_S

    # --- handling -------------------------------------------------------------------------

    def _dispatch(self) -> None:
        # One batch of a topic at a time: what comes meanwhile makes the next one larger.
        while (batch := self._lanes.next_batch(self._busy_topics)) is not None:
            self._in_work += len(batch)
            self._busy_topics.add(batch[0].record.topic)
            task = asyncio.create_task(self._work(batch))
            self._running.add(task)
            task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("batch_failed_unexpectedly", error=repr(task.exception()))
        self._dispatch()

    async def _work(self, batch: list[Item]) -> None:
        topic, lanes = batch[0].record.topic, {item.lane for item in batch}
        began_at = time.monotonic()
        try:
            await self._handle(batch)
        finally:
            self._in_work -= len(batch)
            if batch[0].epoch == self._epoch:
                self._lanes.release(lanes)
            if not self._stopping and self._lanes.ready(topic) < len(batch):
                await asyncio.sleep(min(time.monotonic() - began_at, LONGEST_REST_S))
            self._busy_topics.discard(topic)

    async def _handle(self, batch: list[Item]) -> None:
        behind = [item for item in batch if item.parking_lane in self._parking.lanes]
        if behind:
            await self._settle_parked(
                behind, "waits_behind", "an earlier record of its key is parked"
            )
        current = [item for item in batch if item.parking_lane not in self._parking.lanes]
        # A record behind one that this very batch parked may not overtake it.
        outcomes = await self._outcomes_of([item.record for item in current], batch[0].route)
        parked_now: set[str] = set()
        for item, outcome in zip(current, outcomes, strict=True):
            if item.parking_lane in parked_now:
                await self._settle_parked(
                    [item], "waits_behind", "an earlier record of its key is parked"
                )
            elif outcome is None:
                self._finish(item, "done")
            elif isinstance(outcome, RetryLater):
                parked_now.add(item.parking_lane)
                await self._settle_parked([item], outcome.code, outcome.detail)
            else:
                await self._give_up(item.record, outcome.code, outcome.detail, attempts=1)
                self._finish(item, "dead_letter")
        await self._hurry_those_behind(current, outcomes)

    async def _hurry_those_behind(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """What waited for a record that overtook it is tried at once."""
        lanes = {
            item.lane_behind
            for item, outcome in zip(items, outcomes, strict=True)
            if outcome is None and item.may_overtake
        }
        waiting = lanes & self._parking.lanes.keys()
        if waiting:
            await self._until_available(lambda: self._parking.hurry(waiting))

    async def _settle_parked(self, items: list[Item], code: str, detail: str) -> None:
        waiting = [ToPark(item.record, item.parking_lane, code, detail) for item in items]
        await self._until_available(lambda: self._parking.park(waiting))
        for item in items:
            self._finish(item, "parked")

    def _finish(self, item: Item, result: str) -> None:
        record = item.record
        EVENTS_CONSUMED.labels(topic=record.topic, group=self._group, result=result).inc()
        if item.epoch != self._epoch:
            # Taken away while in work: its next owner gets it again.
            return
        tracker = self._trackers.get((record.topic, record.partition))
        if tracker is not None:
            tracker.finish(record.offset)

    async def _outcomes_of(self, records: Sequence[IncomingRecord], route: Route) -> list[Outcome]:
        """One outcome per record; nothing that a handler raises gets past this."""
        outcomes: list[Outcome] = [None] * len(records)
        incoming: list[tuple[int, Incoming]] = []
        for index, record in enumerate(records):
            if record.value is None:
                await self._take_tombstone(record, route)
                continue
            try:
                envelope = decode(route.topic, record.headers, record.value)
            except InvalidEvent as error:
                outcomes[index] = Rejected(error.code, error.detail)
            else:
                incoming.append((index, Incoming(record, envelope)))
        if incoming:
            CONSUMER_BATCH_RECORDS.observe(len(incoming))
            handled = await self._call_handler([each for _, each in incoming], route)
            for (index, _), outcome in zip(incoming, handled, strict=True):
                outcomes[index] = outcome
        return outcomes

    async def _take_tombstone(self, record: IncomingRecord, route: Route) -> None:
        handler = route.on_tombstone
        if handler is not None:
            await self._until_available(lambda: handler(record))

    async def _call_handler(self, batch: list[Incoming], route: Route) -> list[Outcome]:
        verdict: RetryLater | Rejected | None = None
        for attempt in range(QUICK_TRIES):
            try:
                return await self._call_once(batch, route)
            except (RetryLater, Rejected) as error:
                verdict = error
                break
            except Exception as error:
                verdict = RetryLater("handler_failed", f"{type(error).__name__}: {error}"[:500])
                log.warning(
                    "handler_failed",
                    topic=route.topic.name,
                    batch=len(batch),
                    attempt=attempt + 1,
                    error=type(error).__name__,
                    detail=str(error)[:300],
                )
                await asyncio.sleep(QUICK_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))
        if len(batch) == 1:
            return [verdict]
        return await self._one_by_one(batch, route)

    async def _one_by_one(self, batch: list[Incoming], route: Route) -> list[Outcome]:
        """Find the bad ones: their neighbours must not suffer with them."""
        outcomes: list[Outcome] = []
        stopped: set[bytes] = set()
        for each in batch:
            if each.record.key in stopped:
                outcomes.append(
                    RetryLater("waits_behind", "an earlier record of its key is parked")
                )
                continue
            outcome = (await self._call_handler([each], route))[0]
            if isinstance(outcome, RetryLater):
                stopped.add(each.record.key)
            outcomes.append(outcome)
        return outcomes

    async def _call_once(self, batch: list[Incoming], route: Route) -> list[Outcome]:
        """Call the handler; waits out a database or broker that cannot be reached."""
        pause_s = UNAVAILABLE_PAUSE_S[0]
        while True:
            try:
                with batch_span(f"process {route.topic.name}", _traces_of(batch)):
                    outcomes = await route.handler(batch)
            except (*UNAVAILABLE, KafkaUnavailable) as error:
                self._trouble = type(error).__name__
                if self._stopping:
                    raise
                log.warning(
                    "backend_unavailable", topic=route.topic.name, error=type(error).__name__
                )
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(pause_s * 2, UNAVAILABLE_PAUSE_S[1])
                continue
            self._trouble = ""
            if outcomes is None:
                return [None] * len(batch)
            if len(outcomes) != len(batch):
                raise ValueError(f"{len(outcomes)} outcomes for {len(batch)} records")
            return list(outcomes)

    async def _until_available(self, action: Callable[[], Awaitable[object]]) -> None:
        pause_s = UNAVAILABLE_PAUSE_S[0]
        while True:
            try:
                await action()
                return
            except (*UNAVAILABLE, KafkaUnavailable) as error:
                self._trouble = type(error).__name__
                log.warning("backend_unavailable", error=type(error).__name__)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, UNAVAILABLE_PAUSE_S[1])

    async def _give_up(
        self, record: IncomingRecord, code: str, detail: str, *, attempts: int
    ) -> None:
        log.warning(
            "record_dead_lettered",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            # As the record itself says; nothing when it does not.
            workspace_id=record.workspace_id,
            code=code,
        )
        letters = self._dead_letters
        if letters is None:
            raise RuntimeError("the consumer is not running")
        await self._until_available(
            lambda: letters.give_up(record, code=code, detail=detail, attempts=attempts)
        )

    # --- parked records -------------------------------------------------------------------

    async def _retry_parked_regularly(self) -> None:
        while True:
            await asyncio.sleep(PARKING_INTERVAL_S)
            if not self._parking.lanes or not self._accepting:
                continue
            try:
                await self._retry_due()
            except Exception as error:
                log.warning(
                    "parked_retry_failed", error=type(error).__name__, detail=str(error)[:200]
                )

    async def _retry_due(self) -> None:
        for _ in range(MAX_RETRY_ROUNDS):
            if not await self._retry_due_heads():
                return

    async def _retry_due_heads(self) -> int:
        """Try the due head of each lane; returns how many are finished with."""
        finished = 0
        due = await self._parking.due()
        by_topic: dict[str, list[ParkedRecord]] = {}
        for parked in due:
            by_topic.setdefault(parked.record.topic, []).append(parked)
        for topic, heads in by_topic.items():
            route = self._routes.get(topic)
            if route is None:
                continue
            epoch = self._epoch
            for start in range(0, len(heads), route.max_batch):
                finished += await self._retry(heads[start : start + route.max_batch], route)
                if epoch != self._epoch:
                    return 0
        return finished

    async def _retry(self, heads: list[ParkedRecord], route: Route) -> int:
        outcomes = await self._outcomes_of([head.record for head in heads], route)
        finished: list[ParkedRecord] = []
        for head, outcome in zip(heads, outcomes, strict=True):
            result = outcome
            if isinstance(outcome, RetryLater):
                if not self._is_past_bound(head):
                    await self._parking.postpone(head, code=outcome.code, detail=outcome.detail)
                    continue
                result = Rejected(outcome.code, f"gave up waiting: {outcome.detail}")
            if isinstance(result, Rejected):
                await self._give_up(
                    head.record, result.code, result.detail, attempts=head.attempts + 1
                )
            finished.append(head)
        if finished:
            await self._parking.remove(finished)
        return len(finished)

    def _is_past_bound(self, parked: ParkedRecord) -> bool:
        age_s = (self._clock.now() - parked.parked_at).total_seconds()
        return (
            parked.attempts + 1 >= self._settings.parking_max_attempts
            or age_s >= self._settings.parking_max_age_s
        )

    # --- offsets and membership -----------------------------------------------------------

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit()

    async def _commit(self) -> None:
        dirty = {
            owned: offset
            for owned, tracker in self._trackers.items()
            if (offset := tracker.dirty) is not None
        }
        if not dirty:
            return
        epoch = self._epoch
        try:
            prefix = self._settings.topic_prefix
            await self._require_client().commit(
                {
                    TopicPartition(prefix + topic, number): offset
                    for (topic, number), offset in dirty.items()
                }
            )
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            # Nothing is lost: what was not committed comes again, and handlers are idempotent.
            log.warning("offset_commit_failed", group=self._group, error=type(error).__name__)
            return
        if epoch == self._epoch:
            for owned, offset in dirty.items():
                self._trackers[owned].mark_committed(offset)

    async def _drain(self) -> None:
        """Finish what is in work and queued, within a bound, and commit it."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        self._lanes.clear()
        while self._running and time.monotonic() < deadline:
            await asyncio.wait(self._running, timeout=0.2)
        await self._commit()

    async def revoked(self) -> None:
        """Let running batches end, commit, and forget the rest: it will be delivered again."""
        CONSUMER_REBALANCES.inc()
        self._accepting = False
        self._lanes.clear()
        if self._running:
            await asyncio.wait(set(self._running), timeout=DRAIN_TIMEOUT_S)
        await self._commit()
        self._epoch += 1
        self._trackers.clear()
        self._lanes.clear()

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        owned = {self._own_name(partition) for partition in partitions}
        await self._until_available(lambda: self._parking.load(owned))
        if self._on_assigned is not None:
            callback = self._on_assigned
            await self._until_available(lambda: callback(owned))
        self._trackers = {each: OffsetTracker() for each in owned}
        # A new assignment starts unpaused.
        self._is_paused = False
        self._accepting = True
        self._joined = True
        log.info("partitions_assigned", group=self._group, partitions=len(partitions))

    async def _leave(self) -> None:
        client = self._require_client()
        try:
            await asyncio.wait_for(client.stop(), 10)
        except (TimeoutError, KafkaError) as error:
            log.warning("consumer_left_uncleanly", group=self._group, error=type(error).__name__)
        for task in set(self._running):
            task.cancel()

    def _own_name(self, partition: TopicPartition) -> tuple[str, int]:
        return partition.topic.removeprefix(self._settings.topic_prefix), partition.partition

    def _require_client(self) -> AIOKafkaConsumer:
        if self._client is None:
            raise RuntimeError("the consumer is not running")
        return self._client

    async def _probe(self) -> CheckResult:
        if not self._joined:
            return CheckResult("down", "has not joined its group yet")
        if self._trouble:
            return CheckResult("degraded", f"waiting for a backend: {self._trouble}")
        if self._parking.size >= self._settings.parking_max_records:
            return CheckResult("degraded", "too many parked records: intake is paused")
        return CheckResult("ok", f"{len(self._trackers)} partitions, {self._parking.size} parked")


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """The client swallows what a listener raises, so everything is caught and told here."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        try:
            await self._consumer.revoked()
        except Exception as error:
            log.error("revoke_failed", error=type(error).__name__, detail=str(error)[:200])

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        try:
            await self._consumer.assigned(assigned)
        except Exception as error:
            log.error("assign_failed", error=type(error).__name__, detail=str(error)[:200])


def _traces_of(batch: Sequence[Incoming]) -> dict[str, str | None]:
    return {each.envelope.key: each.envelope.traceparent for each in batch}


def _lane_of(route: Route, record: IncomingRecord) -> str:
    if not record.key:
        # Without a key there is no order to keep.
        return f"{record.topic}/{record.partition}/{record.offset}"
    return f"{route.topic.key}:{record.key.decode('utf-8', 'replace')}"
