"""The consumer of one service: exact-key lanes, manual commits, parking, dead letters.

An offset is committed only when every record below it is done, parked or dead-lettered. Records
with equal keys are handled in order and one after another, whatever their topic; different keys
are handled at once, in batches that grow with the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from passferry_runtime.causes import cause_of
from passferry_runtime.clock import Clock, SystemClock
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.kafka.dead_letters import UNREADABLE, DeadLetters
from passferry_runtime.kafka.handling import Handling
from passferry_runtime.kafka.lanes import Item, LaneScheduler
from passferry_runtime.kafka.offsets import OffsetTracker
from passferry_runtime.kafka.parked_retries import ParkedRetries
from passferry_runtime.kafka.parking import ParkingLot, ToPark
from passferry_runtime.kafka.records import (
    IncomingRecord,
    Outcome,
    Route,
    incoming_record,
)
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.kafka.unreadable import UNREADABLE_ERRORS, step_over_unreadable
from passferry_runtime.lifecycle import Check, CheckResult, Worker
from passferry_runtime.logging import get_logger
from passferry_runtime.metrics import (
    CONSUMER_LAG,
    CONSUMER_LAST_POLL,
    CONSUMER_REBALANCES,
    EVENTS_CONSUMED,
)
from passferry_runtime.postgres import Database

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
HIGH_WATER_BYTES = 67_108_864
#: A topic rests as long as its last batch took, this long at most, unless a larger one is there
#: already. On a busy machine batches take longer, so they grow: many small ones would choke it.
LONGEST_REST_S = 0.1
COMMIT_INTERVAL_S = 0.3
LAG_INTERVAL_S = 2.0
DRAIN_TIMEOUT_S = 20.0
#: Lag without any record for this long means a client that stopped silently: end the process.
STUCK_AFTER_S = 90.0

_BEHIND = RetryLater("waits_behind", "an earlier record of its key is parked")

AssignedCallback = Callable[[set[tuple[str, int]]], Awaitable[None]]


class ConsumerStuck(Exception):
    """The client fetches nothing although there is something; only a restart helps."""


class ConsumerFailed(Exception):
    """A batch ended without an outcome: going on would lose it, a restart gets it again."""


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
        self._handling = Handling(database.ping)
        self._retries = ParkedRetries(
            parking=self._parking,
            handling=self._handling,
            routes=self._routes,
            settings=settings,
            clock=self._clock,
            give_up=self._give_up,
            assignment=lambda: self._epoch if self._accepting else None,
        )
        #: by topic (without prefix) and partition
        self._trackers: dict[tuple[str, int], OffsetTracker] = {}
        self._epoch: int = 0
        self._running: set[asyncio.Task[None]] = set()
        self._busy_topics: set[str] = set()
        self._in_work = 0
        self._accepting: bool = False
        self._stopping = False
        self._joined = False
        self._is_loaded = False
        self._paused: set[TopicPartition] = set()
        self._is_stuck = False
        self._fetched_at = 0.0
        self._failure: BaseException | None = None
        self._dead_letters = DeadLetters(settings, service=service, group=self._group)
        self._client: AIOKafkaConsumer | None = None
        self.worker = Worker(name=f"consumer-{self._group}", run=self.run, stop=self.stop)
        self.check = Check(name=f"consumer-{self._group}", probe=self._probe)

    def stop(self) -> None:
        self._stopping = True
        self._handling.stop()

    async def run(self) -> None:
        """Consume until stopped, then drain, commit and leave the group."""
        self._client = self._new_client()
        prefix = self._settings.topic_prefix
        topics = [prefix + name for name in self._routes]
        self._client.subscribe(topics, listener=_Listener(self))
        await self._client.start()
        helpers = [
            asyncio.create_task(self._commit_regularly()),
            asyncio.create_task(self._retries.run()),
            asyncio.create_task(self._watch_lag()),
        ]
        for helper in helpers:
            helper.add_done_callback(self._helper_ended)
        try:
            await self._poll_until_stopped()
            await self._drain()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._leave()
            await self._dead_letters.close()

    def _helper_ended(self, helper: asyncio.Task[None]) -> None:
        if not helper.cancelled() and (error := helper.exception()) is not None:
            log.error("consumer_helper_failed", error=type(error).__name__)
            self._failure = error

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
            # What a producer took back in its transaction was never said.
            isolation_level="read_committed",
            max_poll_records=POLL_RECORDS,
        )

    # --- fetching -------------------------------------------------------------------------

    async def _poll_until_stopped(self) -> None:
        client = self._require_client()
        self._fetched_at = time.monotonic()
        while not self._stopping:
            batches = await self._fetch(client)
            CONSUMER_LAST_POLL.set_to_current_time()
            for partition, records in batches.items():
                self._accept(partition, records)
            if batches:
                self._fetched_at = time.monotonic()
            if self._failure is not None:
                raise ConsumerFailed(f"{self._group} cannot go on") from self._failure
            if self._is_stuck:
                raise ConsumerStuck(f"{self._group} has lag and fetches nothing")
            self._dispatch()
            self._pause_or_resume(client)
            if batches:
                await asyncio.sleep(POLL_SPACING_S)

    async def _fetch(self, client: AIOKafkaConsumer) -> dict[TopicPartition, Sequence[Any]]:
        try:
            fetched: dict[TopicPartition, Sequence[Any]] = await client.getmany(
                timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS
            )
        except UNREADABLE_ERRORS as error:
            log.error("fetch_unreadable", group=self._group, error=type(error).__name__)
            await step_over_unreadable(
                client,
                next_of=self._next_offset,
                accept=self._accept,
                give_up=self._give_up_unreadable,
            )
            return {}
        return fetched

    def _next_offset(self, partition: TopicPartition) -> int | None:
        tracker = self._trackers.get(self._own_name(partition))
        return tracker.next if tracker is not None else None

    async def _give_up_unreadable(self, partition: TopicPartition, offset: int) -> None:
        topic, number = self._own_name(partition)
        record = IncomingRecord(topic, number, offset, 0, b"", b"", ())
        await self._give_up(record, UNREADABLE, "its headers cannot be decoded", attempts=1)
        tracker = self._trackers.get((topic, number))
        if tracker is not None:
            tracker.start(offset)
            tracker.finish(offset)

    def _pause_or_resume(self, client: AIOKafkaConsumer) -> None:
        waiting = self._in_work + self._lanes.queued
        is_high = waiting >= HIGH_WATER or self._lanes.queued_bytes >= HIGH_WATER_BYTES
        is_low = waiting < LOW_WATER and self._lanes.queued_bytes < HIGH_WATER_BYTES // 2
        self._is_loaded = is_high or (self._is_loaded and not is_low)
        assigned: set[TopicPartition] = set(client.assignment())
        wanted: set[TopicPartition] = set()
        if self._is_loaded:
            wanted = assigned
        elif self._parking.size >= self._settings.parking_max_records:
            # Not what the parked may be waiting for, which comes on another topic.
            topics = self._parking.topics
            wanted = {each for each in assigned if self._own_name(each)[0] in topics}
        if wanted == self._paused:
            return
        client.pause(*(wanted - self._paused))
        client.resume(*((self._paused - wanted) & assigned))
        self._paused = wanted
        log.info(
            "consumer_paused",
            group=self._group,
            partitions=len(wanted),
            parked=self._parking.size,
        )

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
            for partition in client.assignment() if self._joined else ():
                # It may be taken away at any of these steps.
                with contextlib.suppress(IllegalStateError, AssertionError, KafkaError):
                    end = client.last_stable_offset(partition)
                    if end is not None and end >= 0:
                        lag += max(0, end - await client.position(partition))
            CONSUMER_LAG.labels(group=self._group).set(lag + self._in_work + self._lanes.queued)
            if lag == 0 or self._paused:
                self._fetched_at = time.monotonic()
            self._is_stuck = time.monotonic() - self._fetched_at > STUCK_AFTER_S

    # --- handling -------------------------------------------------------------------------

    def _dispatch(self) -> None:
        if self._failure is not None:
            # Nothing may overtake what failed.
            return
        # One batch of a topic at a time: what comes meanwhile makes the next one larger.
        while (batch := self._lanes.next_batch(self._busy_topics)) is not None:
            self._in_work += len(batch)
            self._busy_topics.add(batch[0].record.topic)
            task = asyncio.create_task(self._work(batch))
            self._running.add(task)
            task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._stopping:
            log.error("batch_failed_unexpectedly", error=type(error).__name__)
            self._failure = error
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
        behind: list[Item] = []
        current: list[Item] = []
        for item in batch:
            limit = item.route.topic.max_record_bytes
            if item.size > limit:
                # A compressed record may unfold beyond it: neither read nor parked.
                detail = f"{item.size} bytes, at most {limit}"
                await self._give_up(item.record, "oversize", detail, attempts=1)
                self._finish([item], "dead_letter")
            # The name of a lane is a digest, which is worked out only where one could be parked.
            elif self._parking.lanes and item.parking_lane in self._parking.lanes:
                behind.append(item)
            else:
                current.append(item)
        if behind:
            await self._settle_parked(behind, _BEHIND.code, _BEHIND.detail)
        outcomes = await self._handling.outcomes_of(
            [item.record for item in current], batch[0].route
        )
        await self._settle(current, outcomes)
        await self._hurry_those_behind(current, outcomes)

    async def _settle(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        # A record behind one that this very batch parked may not overtake it.
        parked_now: set[str] = set()
        done: list[Item] = []
        others: list[tuple[Item, RetryLater | Rejected]] = []
        for item, outcome in zip(items, outcomes, strict=True):
            if parked_now and item.parking_lane in parked_now:
                others.append((item, _BEHIND))
            elif outcome is None:
                done.append(item)
            else:
                others.append((item, outcome))
                if isinstance(outcome, RetryLater):
                    parked_now.add(item.parking_lane)
        self._finish(done, "done")
        for item, verdict in others:
            if isinstance(verdict, RetryLater):
                await self._settle_parked([item], verdict.code, verdict.detail)
            else:
                await self._give_up(item.record, verdict.code, verdict.detail, attempts=1)
                self._finish([item], "dead_letter")

    async def _hurry_those_behind(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """What waited for a record that overtook it is tried at once."""
        if not self._parking.lanes:
            return
        lanes = {
            item.lane_behind
            for item, outcome in zip(items, outcomes, strict=True)
            if outcome is None and item.may_overtake
        }
        waiting = lanes & self._parking.lanes.keys()
        if waiting:
            await self._handling.until_done(lambda: self._parking.hurry(waiting))

    async def _settle_parked(self, items: list[Item], code: str, detail: str) -> None:
        if items[0].epoch != self._epoch:
            # Taken away while in work: its next owner gets it again, and parks it.
            return
        waiting = [ToPark(item.record, item.parking_lane, code, detail) for item in items]
        await self._handling.until_done(lambda: self._parking.park(waiting))
        self._finish(items, "parked")

    def _finish(self, items: Sequence[Item], result: str) -> None:
        """Of one batch, and therefore of one topic and one epoch."""
        if not items:
            return
        topic = items[0].record.topic
        EVENTS_CONSUMED.labels(topic=topic, group=self._group, result=result).inc(len(items))
        if items[0].epoch != self._epoch:
            # Taken away while in work: its next owner gets it again.
            return
        for item in items:
            tracker = self._trackers.get((topic, item.record.partition))
            if tracker is not None:
                tracker.finish(item.record.offset)

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
        await self._handling.until_done(
            lambda: self._dead_letters.give_up(record, code=code, detail=detail, attempts=attempts)
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
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._retries.wait_until_idle(), DRAIN_TIMEOUT_S)
        await self._commit()
        self._epoch += 1
        self._trackers.clear()
        self._lanes.clear()

    def fail(self, error: Exception) -> None:
        """End `run` with this: without its assignment a member would idle for ever."""
        self._failure = error

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        owned = {self._own_name(partition) for partition in partitions}
        await self._handling.until_done(lambda: self._parking.load(owned))
        if self._on_assigned is not None:
            callback = self._on_assigned
            await self._handling.until_done(lambda: callback(owned))
        self._trackers = {each: OffsetTracker() for each in owned}
        # A new assignment starts unpaused.
        self._paused = set()
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
        if self._failure is not None:
            return CheckResult("down", f"failed: {type(self._failure).__name__}")
        if not self._joined:
            return CheckResult("down", "has not joined its group yet")
        if self._handling.trouble:
            return CheckResult("degraded", f"waiting for a backend: {self._handling.trouble}")
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
            log.error("revoke_failed", error=type(error).__name__, detail=cause_of(error)[:200])

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        try:
            await self._consumer.assigned(assigned)
        except Exception as error:
            log.error("assign_failed", error=type(error).__name__, detail=cause_of(error)[:200])
            self._consumer.fail(error)


def _lane_of(route: Route, record: IncomingRecord) -> str:
    if not record.key:
        # Without a key there is no order to keep.
        return f"{record.topic}/{record.partition}/{record.offset}"
    return f"{route.topic.key}:{record.key.decode('utf-8', 'replace')}"
