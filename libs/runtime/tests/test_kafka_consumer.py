"""The consumer, parking, dead letters, replay and the outbox on real Kafka and Postgres."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer import message_accumulator
from aiokafka.producer import producer as producer_module
from aiokafka.record import default_records

from passferry_contracts.envelope import Envelope, encode_headers, encode_value
from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.inbound import InboundBalanceChanged, InboundPassCreated
from passferry_contracts.registry import (
    DEAD_LETTERS,
    PASS_BALANCE_CHANGED,
    PASS_INBOUND,
    PASS_REDEEMED,
    PROGRAM_CHANGED,
)
from passferry_runtime.clock import SystemClock
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.ids import uuid7
from passferry_runtime.kafka.consumer import Consumer, ConsumerFailed
from passferry_runtime.kafka.dead_letters import dead_letter_of
from passferry_runtime.kafka.parking import ParkingLot, ToPark
from passferry_runtime.kafka.records import IncomingRecord, OutgoingRecord, Route
from passferry_runtime.kafka.replay import read_dead_letters, replay
from passferry_runtime.metrics import EVENTS_CONSUMED
from passferry_runtime.migrations import MigrationChanged
from passferry_runtime.outbox import OutboxRelay
from passferry_runtime.postgres import Database, TransactionAborted
from passferry_testing.harness import Harness, eventually

WORKSPACE = UUID("018f0000-0000-7000-8000-000000000001")
OTHER = UUID("018f0000-0000-7000-8000-000000000002")
SERVICE = "ledger"


@pytest.fixture
def topics():
    return (
        PASS_BALANCE_CHANGED,
        PASS_REDEEMED,
        PASS_INBOUND,
        PROGRAM_CHANGED,
        DEAD_LETTERS[SERVICE],
    )


def change(pass_id: UUID, version: int, workspace: UUID = WORKSPACE) -> PassBalanceChanged:
    return PassBalanceChanged(
        workspace_id=workspace,
        pass_id=pass_id,
        external_id="card-1",
        program_id=uuid7(),
        version=version,
        previous_balance_minor=version - 1,
        new_balance_minor=version,
        change_minor=1,
        unit="points",
        reason="earn",
        changed_at=datetime.now(UTC),
    )


@asynccontextmanager
async def database_of(harness: Harness):
    await harness.migrate(SERVICE, "passferry_testing")
    async with Database.open(harness.app_url(SERVICE), service=SERVICE) as database:
        yield database


@asynccontextmanager
async def consuming(harness: Harness, database: Database, handler, *, kafka=None, route=None):
    consumer = Consumer(
        service=SERVICE,
        settings=kafka or harness.kafka,
        routes=[route or Route(topic=PASS_BALANCE_CHANGED, handler=handler)],
        database=database,
    )
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        await asyncio.wait_for(task, 20)


async def test_records_of_one_key_are_handled_in_order_and_each_offset_is_committed(harness):
    seen: dict[UUID, list[int]] = {}

    async def handler(batch):
        await asyncio.sleep(0.001)
        for each in batch:
            seen.setdefault(each.data.pass_id, []).append(each.data.version)

    passes = [uuid7() for _ in range(20)]
    await harness.publish(
        PASS_BALANCE_CHANGED,
        *(change(each, version) for version in range(1, 21) for each in passes),
    )
    async with database_of(harness) as database:
        async with consuming(harness, database, handler):
            await eventually(lambda: sum(map(len, seen.values())) == 400)
        assert all(versions == list(range(1, 21)) for versions in seen.values())
        async with consuming(harness, database, handler):
            await asyncio.sleep(1.0)
        assert sum(map(len, seen.values())) == 400, "a restart replays nothing that was committed"


async def test_a_record_that_cannot_be_handled_yet_waits_and_holds_back_its_key_only(harness):
    """proves: the parking half of "order per pass holds"."""
    is_known = False
    handled: list[tuple[UUID, int]] = []
    early, ready = uuid7(), uuid7()

    async def handler(batch):
        outcomes = []
        for each in batch:
            if each.data.pass_id == early and not is_known:
                outcomes.append(RetryLater("pass_unknown", "not created yet"))
            else:
                handled.append((each.data.pass_id, each.data.version))
                outcomes.append(None)
        return outcomes

    async with database_of(harness) as database, consuming(harness, database, handler):
        await harness.publish(PASS_BALANCE_CHANGED, *(change(early, n) for n in (1, 2, 3)))
        await harness.publish(PASS_BALANCE_CHANGED, *(change(ready, n) for n in (1, 2, 3)))
        await eventually(lambda: len(handled) == 3)
        assert {each for each, _ in handled} == {ready}
        is_known = True
        await harness.publish(PASS_BALANCE_CHANGED, change(early, 4))
        await eventually(lambda: len(handled) == 7)
        assert [version for each, version in handled if each == early] == [1, 2, 3, 4]

        async def nothing_waits() -> bool:
            async with database.plumbing() as transaction:
                return await transaction.fetchval("SELECT count(*) FROM parked_records") == 0

        await eventually(nothing_waits)


async def test_what_its_own_batch_handled_behind_a_parked_record_comes_again_after_it(harness):
    """proves: order per pass, whatever a handler says of a record behind one that must wait."""
    is_known = False
    handled: list[int] = []
    early = uuid7()

    async def handler(batch):
        outcomes = []
        for each in batch:
            if each.data.version == 1 and not is_known:
                outcomes.append(RetryLater("pass_unknown", "not created yet"))
            else:
                handled.append(each.data.version)
                outcomes.append(None)
        return outcomes

    def counted(result: str) -> float:
        labels = {"topic": PASS_BALANCE_CHANGED.name, "result": result}
        return sum(
            sample.value
            for metric in EVENTS_CONSUMED.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
        )

    before = counted("parked"), counted("done")
    await harness.publish(PASS_BALANCE_CHANGED, *(change(early, n) for n in (1, 2, 3)))
    async with database_of(harness) as database, consuming(harness, database, handler):

        async def parked() -> int:
            async with database.plumbing() as transaction:
                return await transaction.fetchval("SELECT count(*) FROM parked_records")

        async def all_wait() -> bool:
            return await parked() == 3

        async def nothing_waits() -> bool:
            return await parked() == 0

        await eventually(all_wait)
        assert (counted("parked"), counted("done")) == (before[0] + 3, before[1])
        handled.clear()
        is_known = True
        await eventually(nothing_waits)
        assert handled == [1, 2, 3]


async def test_a_creation_overtakes_what_waits_for_it_under_its_own_key(harness):
    """proves: an event before its pass waits; the creation behind it is not held up."""
    made: set[tuple[UUID, str]] = set()
    changed: list[int] = []

    async def handler(batch):
        outcomes = []
        for each in batch:
            name = (each.data.workspace_id, each.data.external_id)
            if isinstance(each.data, InboundPassCreated):
                made.add(name)
            elif name in made:
                changed.append(each.data.version)
            else:
                outcomes.append(RetryLater("pass_unknown", "not created yet"))
                continue
            outcomes.append(None)
        return outcomes

    def balance(version: int) -> InboundBalanceChanged:
        return InboundBalanceChanged(
            workspace_id=WORKSPACE,
            external_id="card-1",
            version=version,
            occurred_at=datetime.now(UTC),
            new_balance_minor=version,
        )

    creation = InboundPassCreated(
        workspace_id=WORKSPACE,
        external_id="card-1",
        version=1,
        occurred_at=datetime.now(UTC),
        program_id=uuid7(),
    )
    route = Route(
        topic=PASS_INBOUND,
        handler=handler,
        may_overtake=frozenset({InboundPassCreated.event_type}),
    )
    # So long that only the creation's own arrival can have hurried what waits.
    kafka = replace(harness.kafka, parking_first_retry_s=60.0)
    async with (
        database_of(harness) as database,
        consuming(harness, database, handler, kafka=kafka, route=route) as consumer,
    ):
        await harness.publish(PASS_INBOUND, balance(2), balance(3))
        await eventually(lambda: consumer._parking.size == 2)
        await harness.publish(PASS_INBOUND, creation)
        await eventually(lambda: changed == [2, 3])


async def test_a_record_that_waits_holds_up_no_other_workspace_with_an_equal_key(harness):
    handled: list[UUID] = []

    async def handler(batch):
        for each in batch:
            if each.data.workspace_id == WORKSPACE:
                raise RetryLater("pass_unknown", "not created yet")
            handled.append(each.data.workspace_id)

    def balance(workspace_id: UUID) -> InboundBalanceChanged:
        return InboundBalanceChanged(
            workspace_id=workspace_id,
            external_id="card-1",
            version=1,
            occurred_at=datetime.now(UTC),
            new_balance_minor=1,
        )

    route = Route(topic=PASS_INBOUND, handler=handler)
    async with (
        database_of(harness) as database,
        consuming(harness, database, handler, route=route) as consumer,
    ):
        await harness.publish(PASS_INBOUND, balance(WORKSPACE))
        await eventually(lambda: consumer._parking.size == 1)
        await harness.publish(PASS_INBOUND, balance(OTHER))
        await eventually(lambda: handled == [OTHER])


async def test_parked_records_survive_a_restart_in_order(harness):
    is_known = False
    handled: list[int] = []
    early = uuid7()

    async def handler(batch):
        if not is_known:
            raise RetryLater("pass_unknown", "not created yet")
        handled.extend(each.data.version for each in batch)

    async with database_of(harness) as database:
        async with consuming(harness, database, handler) as consumer:
            await harness.publish(PASS_BALANCE_CHANGED, *(change(early, n) for n in (1, 2)))
            await eventually(lambda: consumer._parking.size == 2)
        async with consuming(harness, database, handler):
            await harness.publish(PASS_BALANCE_CHANGED, change(early, 3))
            await asyncio.sleep(0.5)
            is_known = True
            await eventually(lambda: len(handled) == 3)
    assert handled == [1, 2, 3]


async def test_what_waits_longer_than_its_bound_becomes_a_dead_letter_and_can_be_replayed(harness):
    """proves: dead letters keep the event untouched; replay sends it with its own id."""
    is_known = False
    handled: list[str] = []

    async def handler(batch):
        if not is_known:
            raise RetryLater("pass_unknown", "no such pass")
        handled.extend(each.id for each in batch)

    kafka = replace(harness.kafka, parking_max_age_s=0.5)
    async with database_of(harness) as database, consuming(harness, database, handler, kafka=kafka):
        (event_id,) = await harness.publish(PASS_BALANCE_CHANGED, change(uuid7(), 1))
        await eventually(lambda: _letters(harness), what="the dead letter")
        (letter,) = await read_dead_letters(harness.kafka, SERVICE)
        assert (letter.code, letter.topic) == ("pass_unknown", "pass.balance_changed")
        assert dict(letter.record.headers)["ce_id"].decode() == event_id
        is_known = True
        counted = await replay(
            harness.kafka, SERVICE, code="pass_unknown", limit=10, is_dry_run=False
        )
        assert sum(counted.values()) == 1
        await eventually(lambda: handled == [event_id])


async def test_what_the_database_quotes_is_in_no_log_no_parked_record_and_no_dead_letter(
    harness, caplog
):
    # proves: J71, J72
    planted, quoted = "Ana Planted", []

    async def handler(_batch):
        async with database.transaction([WORKSPACE]) as transaction:
            await transaction.execute("CREATE TEMP TABLE person (name text PRIMARY KEY)")
            try:
                await transaction.execute("INSERT INTO person VALUES ($1), ($1)", planted)
            except asyncpg.UniqueViolationError as error:
                quoted.append(str(error))
                raise

    kafka = replace(harness.kafka, parking_max_age_s=2.0)
    async with database_of(harness) as database, consuming(harness, database, handler, kafka=kafka):
        await harness.publish(PASS_BALANCE_CHANGED, change(uuid7(), 1))
        parked = "SELECT reason_code, reason_detail FROM parked_records"
        async with database.plumbing() as plumbing:
            await eventually(lambda: plumbing.fetchrow(parked), what="the parked record")
            row = await plumbing.fetchrow(parked)
        await eventually(lambda: _letters(harness), what="the dead letter")
    (letter,) = await read_dead_letters(harness.kafka, SERVICE)
    logged = [record for record in caplog.records if record.msg == "handler_failed"]
    told = [row["reason_detail"], letter.message, *(each.fields["detail"] for each in logged)]
    assert len(told) >= 3
    assert planted in quoted[0]
    for each in told:
        assert "UniqueViolationError 23505 person person_pkey" in each
        assert planted not in each
    assert planted not in caplog.text


async def _letters(harness) -> bool:
    return bool(await read_dead_letters(harness.kafka, SERVICE))


async def test_poison_goes_to_the_dead_letters_at_once_and_its_neighbours_flow(harness):
    handled: list[int] = []

    async def handler(batch):
        outcomes = []
        for each in batch:
            if each.data.version == 2:
                outcomes.append(Rejected("foreign_pass", "belongs to another"))
            else:
                handled.append(each.data.version)
                outcomes.append(None)
        return outcomes

    pass_id = uuid7()
    broken = OutgoingRecord(
        PASS_BALANCE_CHANGED.name,
        str(pass_id).encode(),
        b'{"workspace_id": 7, "secret": "planted"',
        (
            ("ce_specversion", b"1.0"),
            ("ce_id", b"1"),
            ("ce_source", b"/x"),
            ("ce_type", b"pass.balance_changed"),
            ("ce_time", b"2026-05-14T07:31:05Z"),
        ),
    )
    headers = {**dict(broken.headers), "ce_id": b"2", "ce_type": b"pass.stolen"}
    unknown_type = replace(broken, headers=tuple(headers.items()))
    async with database_of(harness) as database, consuming(harness, database, handler):
        await harness.send(broken, unknown_type)
        await harness.publish(PASS_BALANCE_CHANGED, *(change(pass_id, n) for n in (1, 2, 3)))
        await eventually(lambda: handled == [1, 3])

        async def has_three() -> bool:
            return len(await read_dead_letters(harness.kafka, SERVICE)) == 3

        await eventually(has_three)
    letters = await read_dead_letters(harness.kafka, SERVICE)
    assert {letter.code for letter in letters} == {"undecodable", "type_unknown", "foreign_pass"}
    assert not any("planted" in letter.message for letter in letters)


def record_of(data: PassBalanceChanged, **given) -> OutgoingRecord:
    envelope = Envelope(
        id=str(uuid7()),
        source="/test",
        type=data.event_type,
        time=datetime.now(UTC),
        data=data,
    )
    record = OutgoingRecord(
        PASS_BALANCE_CHANGED.name,
        envelope.key.encode(),
        encode_value(envelope),
        tuple(encode_headers(envelope)),
    )
    return replace(record, **given)


class OddName(str):
    """A header name in bytes that are not UTF-8."""

    __slots__ = ()

    def encode(self, *_: object, **__: object) -> bytes:
        return b"\xff\xfe"


async def everything_committed(consumer: Consumer) -> bool:
    trackers = consumer._trackers.values()
    return all(not each.unfinished and each.dirty is None for each in trackers)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"key": b"a\x00b"}, id="NUL in the key"),
        pytest.param({"key": b"k" * 12_000}, id="a key of 12 kB"),
        pytest.param({"key": b"\xff\xfe"}, id="a key that is not UTF-8"),
        pytest.param({"headers": (("ce_workspaceid", b"\x00"),)}, id="NUL in a header"),
        pytest.param({"headers": (("odd", None),)}, id="a header without a value"),
    ],
)
async def test_a_strange_record_that_must_wait_is_parked_and_stops_no_commit(harness, given):
    """proves: an event never vanishes, and one bad record delays no other."""
    good: list[int] = []
    strange = record_of(change(uuid7(), 1))
    if "headers" in given:
        own = tuple(each for each in strange.headers if each[0] != given["headers"][0][0])
        given = {"headers": own + given["headers"]}
    strange = replace(strange, **given)

    async def handler(batch):
        outcomes = []
        for each in batch:
            is_strange = each.record.key == strange.key
            outcomes.append(RetryLater("pass_unknown", "a\x00b") if is_strange else None)
            good.extend([] if is_strange else [each.data.version])
        return outcomes

    await harness.send(strange)
    async with database_of(harness) as database, consuming(harness, database, handler) as consumer:
        await eventually(lambda: consumer._parking.size == 1)
        await harness.publish(PASS_BALANCE_CHANGED, *(change(uuid7(), 1) for _ in range(40)))
        await eventually(lambda: len(good) == 40)
        await eventually(lambda: everything_committed(consumer))
        # It is tried again and again without harm to the others.
        await asyncio.sleep(1.0)
        assert consumer._parking.size == 1


@pytest.fixture
def any_header_name(monkeypatch):
    """The compiled builder takes real strings only; the one in Python takes `OddName` too."""
    for module in (message_accumulator, producer_module):
        monkeypatch.setattr(
            module, "DefaultRecordBatchBuilder", default_records._DefaultRecordBatchBuilderPy
        )


async def test_a_record_that_cannot_be_decoded_at_all_becomes_a_dead_letter(
    harness, any_header_name
):
    """Its neighbours in the same fetch are neither lost nor handled twice."""
    seen: list[UUID] = []

    async def handler(batch):
        seen.extend(each.data.pass_id for each in batch)

    passes = [uuid7() for _ in range(60)]
    await harness.publish(PASS_BALANCE_CHANGED, *(change(each, 1) for each in passes[:30]))
    odd = record_of(change(uuid7(), 1))
    await harness.send(replace(odd, headers=((OddName("x"), b"1"), *odd.headers)))
    await harness.publish(PASS_BALANCE_CHANGED, *(change(each, 1) for each in passes[30:]))
    async with database_of(harness) as database, consuming(harness, database, handler) as consumer:
        await eventually(lambda: len(seen) >= 60, timeout_s=30)
        await eventually(lambda: _letters(harness), what="the dead letter")
        await eventually(lambda: everything_committed(consumer))
    assert sorted(seen) == sorted(passes)
    (letter,) = await read_dead_letters(harness.kafka, SERVICE)
    assert letter.code == "unreadable"
    assert not letter.is_whole
    replayed = await replay(harness.kafka, SERVICE, code=None, limit=10, is_dry_run=True)
    assert replayed.total() == 0, "there is nothing to send again"


async def test_what_a_producer_took_back_was_never_said(harness):
    seen: list[int] = []

    async def handler(batch):
        seen.extend(each.data.version for each in batch)

    record = record_of(change(uuid7(), 1))
    topic = harness.kafka.topic_prefix + record.topic
    producer = AIOKafkaProducer(
        bootstrap_servers=harness.kafka.brokers, transactional_id=f"till-{uuid7()}"
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        headers = list(record.headers)
        await producer.send_and_wait(topic, record.value, key=record.key, headers=headers)
        await producer.abort_transaction()
    finally:
        await producer.stop()
    await harness.publish(PASS_BALANCE_CHANGED, change(uuid7(), 2))
    async with database_of(harness) as database, consuming(harness, database, handler):
        await eventually(lambda: bool(seen))
        await asyncio.sleep(0.5)
    assert seen == [2]


async def test_a_record_that_unfolds_beyond_its_topics_limit_is_not_taken_by_the_broker(harness):
    producer = AIOKafkaProducer(
        bootstrap_servers=harness.kafka.brokers,
        compression_type="gzip",
        max_request_size=8_000_000,
    )
    await producer.start()
    try:
        topic = harness.kafka.topic_prefix + PASS_BALANCE_CHANGED.name
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, b"{" + b" " * 5_000_000, key=b"k")
    finally:
        await producer.stop()


def test_a_dead_letter_that_would_not_fit_keeps_its_place_only():
    record = IncomingRecord("ledger.commands", 3, 7, 0, b"k", b" " * 5_000_000, (("a", b"b"),))
    letter = dead_letter_of(
        record, service=SERVICE, group="g", code="oversize", detail="", attempts=1
    )
    headers = dict(letter.headers)
    assert (letter.value, headers["kafka_dlt-cut-bytes"]) == (b"", b"5000003")
    assert headers["kafka_dlt-original-offset"] == b"7"


async def test_a_tombstone_is_handled_after_the_values_before_it(harness):
    seen: list[str] = []

    async def handler(batch):
        seen.extend("value" for _ in batch)

    async def forget(record):
        seen.append("tombstone")

    pass_id = uuid7()
    await harness.publish(PASS_BALANCE_CHANGED, change(pass_id, 1))
    await harness.send(OutgoingRecord(PASS_BALANCE_CHANGED.name, str(pass_id).encode(), None, ()))
    route = Route(topic=PASS_BALANCE_CHANGED, handler=handler, on_tombstone=forget)
    async with database_of(harness) as database, consuming(harness, database, handler, route=route):
        await eventually(lambda: len(seen) == 2)
    assert seen == ["value", "tombstone"]


async def test_a_tombstone_that_nobody_can_read_becomes_a_dead_letter(harness):
    async def handler(batch):
        return None

    async def forget(record):
        raise Rejected("key_invalid", "no id")

    route = Route(topic=PASS_BALANCE_CHANGED, handler=handler, on_tombstone=forget)
    await harness.send(OutgoingRecord(PASS_BALANCE_CHANGED.name, b"bad", None, ()))
    async with (
        database_of(harness) as database,
        consuming(harness, database, handler, route=route) as consumer,
    ):
        await eventually(lambda: _letters(harness), what="the dead letter")
        await eventually(lambda: everything_committed(consumer))
    (letter,) = await read_dead_letters(harness.kafka, SERVICE)
    assert (letter.code, letter.record.value) == ("key_invalid", None)


async def test_an_assignment_that_fails_ends_the_consumer_instead_of_idling(harness):
    async def handler(batch):
        return None

    async with database_of(harness) as database:
        consumer = Consumer(
            service=SERVICE,
            settings=harness.kafka,
            routes=[Route(topic=PASS_BALANCE_CHANGED, handler=handler)],
            database=database,
        )

        async def failing(owned):
            raise asyncpg.QueryCanceledError("statement timeout")

        consumer._parking.load = failing
        with pytest.raises(ConsumerFailed):
            await asyncio.wait_for(consumer.run(), 30)
        assert (await consumer.check.probe()).state == "down"


async def test_a_lane_that_went_to_another_member_is_not_taken_back(harness):
    def at(offset: int) -> IncomingRecord:
        return IncomingRecord(PASS_BALANCE_CHANGED.name, 0, offset, 0, b"k", b"{}", ())

    async with database_of(harness) as database:
        lot = ParkingLot(database, SystemClock(), first_retry_s=0.0)
        await lot.park([ToPark(at(1), "lane", "c", "d"), ToPark(at(2), "lane", "c", "d")])
        [head] = await lot.due()
        await lot.load([(PASS_BALANCE_CHANGED.name, 1)])
        await lot.remove([head])
        assert lot.lanes == {}


async def test_a_commit_that_the_server_made_a_rollback_is_told(harness):
    async with database_of(harness) as database:
        with pytest.raises(TransactionAborted):
            async with database.transaction([WORKSPACE]) as transaction:
                with contextlib.suppress(asyncpg.DivisionByZeroError):
                    await transaction.execute("SELECT 1 / 0")


async def test_one_bad_record_does_not_take_its_batch_with_it(harness):
    handled: set[UUID] = set()
    bad = uuid7()

    async def handler(batch):
        if any(each.data.pass_id == bad for each in batch):
            raise ZeroDivisionError("a bug that one event meets")
        handled.update(each.data.pass_id for each in batch)

    good = [uuid7() for _ in range(5)]
    await harness.publish(
        PASS_BALANCE_CHANGED, *(change(each, 1) for each in [*good[:3], bad, *good[3:]])
    )
    async with database_of(harness) as database, consuming(harness, database, handler) as consumer:
        await eventually(lambda: handled == set(good))
        await eventually(lambda: consumer._parking.size == 1)


async def test_a_database_that_is_away_only_makes_the_consumer_wait(harness):
    is_away = True
    handled: list[int] = []

    async def handler(batch):
        if is_away:
            raise ConnectionRefusedError
        handled.extend(each.data.version for each in batch)

    async with database_of(harness) as database, consuming(harness, database, handler) as consumer:
        await harness.publish(PASS_BALANCE_CHANGED, change(uuid7(), 1))
        await asyncio.sleep(1.0)
        assert (await consumer.check.probe()).state == "degraded"
        is_away = False
        await eventually(lambda: handled == [1])


async def test_two_members_share_the_partitions_and_lose_nothing_when_one_leaves(harness):
    """proves: J107 (the consumer's part)"""
    seen: dict[UUID, list[int]] = {}

    async def handler(batch):
        await asyncio.sleep(0.002)
        for each in batch:
            versions = seen.setdefault(each.data.pass_id, [])
            if each.data.version not in versions:
                versions.append(each.data.version)

    passes = [uuid7() for _ in range(24)]
    async with database_of(harness) as database, consuming(harness, database, handler):
        async with consuming(harness, database, handler) as second:
            for version in range(1, 11):
                await harness.publish(
                    PASS_BALANCE_CHANGED, *(change(each, version) for each in passes)
                )
            await eventually(lambda: second._joined)
        for version in range(11, 16):
            await harness.publish(PASS_BALANCE_CHANGED, *(change(each, version) for each in passes))
        await eventually(lambda: sum(map(len, seen.values())) == 24 * 15, timeout_s=30)
    assert all(versions == list(range(1, 16)) for versions in seen.values())


async def test_events_of_a_transaction_leave_with_its_commit_and_in_order(harness):
    """proves: invariant "Outbox": nothing without a commit, version order per pass."""
    pass_id = uuid7()
    async with (
        database_of(harness) as database,
        harness.recording(PASS_BALANCE_CHANGED) as recorder,
    ):
        relay = OutboxRelay(database, harness.kafka)
        task = asyncio.create_task(relay.run())
        with pytest.raises(ZeroDivisionError):
            async with database.transaction({WORKSPACE}) as transaction:
                transaction.emit(PASS_BALANCE_CHANGED, change(pass_id, 99))
                raise ZeroDivisionError
        for start in range(1, 200, 20):
            async with database.transaction({WORKSPACE}) as transaction:
                for version in range(start, start + 20):
                    transaction.emit(PASS_BALANCE_CHANGED, change(pass_id, version))
        found = await recorder.expect(PassBalanceChanged, 200)
        assert [each.version for each in found] == list(range(1, 201))
        relay.stop()
        await asyncio.wait_for(task, 10)
        async with database.plumbing() as transaction:
            assert await transaction.fetchval("SELECT count(*) FROM outbox") == 0


async def test_two_relays_share_the_slots_and_keep_each_keys_order(harness):
    passes = [uuid7() for _ in range(30)]
    async with (
        database_of(harness) as database,
        Database.open(harness.app_url(SERVICE), service=SERVICE) as other_database,
        harness.recording(PASS_BALANCE_CHANGED) as recorder,
    ):
        first, second = (
            OutboxRelay(database, harness.kafka),
            OutboxRelay(other_database, harness.kafka),
        )
        tasks = [asyncio.create_task(first.run())]
        for version in range(1, 61):
            if version == 10:
                tasks.append(asyncio.create_task(second.run()))
            if version == 40:
                first.stop()
            async with database.transaction({WORKSPACE}) as transaction:
                for each in passes:
                    transaction.emit(PASS_BALANCE_CHANGED, change(each, version))
            await asyncio.sleep(0.08)
        await recorder.expect(PassBalanceChanged, 30 * 60, timeout_s=20)
        second.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
    for each in passes:
        versions = [e.version for e in recorder.payloads(PassBalanceChanged) if e.pass_id == each]
        assert list(dict.fromkeys(versions)) == list(range(1, 61))


async def test_a_transaction_touches_only_the_workspaces_that_it_names(harness):
    """proves: J58, and that a batch across two workspaces changes both"""
    async with database_of(harness) as database:
        insert = (
            "INSERT INTO processed_events (workspace_id, consumer, event_key) VALUES ($1, 'c', $2)"
        )
        async with database.transaction({WORKSPACE, OTHER}) as transaction:
            await transaction.execute(insert, WORKSPACE, "1")
            await transaction.execute(insert, OTHER, "1")
        update = "UPDATE processed_events SET consumer = 'd'"
        async with database.transaction({WORKSPACE, OTHER}) as transaction:
            assert await transaction.execute(update) == "UPDATE 2"
        async with database.transaction({WORKSPACE}) as transaction:
            assert await transaction.execute(update) == "UPDATE 1"
        async with database.transaction(()) as transaction:
            assert await transaction.execute(update) == "UPDATE 0"
            assert await transaction.fetch("SELECT * FROM processed_events") == []
        with pytest.raises(Exception, match="row-level security"):
            async with database.transaction({WORKSPACE}) as transaction:
                await transaction.execute(insert, OTHER, "2")
        with pytest.raises(Exception, match="row-level security"):
            async with database.transaction({WORKSPACE}) as transaction:
                transaction.emit(PASS_BALANCE_CHANGED, change(uuid7(), 1, OTHER))


async def test_every_table_of_a_schema_enforces_row_level_security(harness):
    async with database_of(harness) as database:
        rows = await database.pool.fetch(
            "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class"
            " WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r'"
        )
        unguarded = {
            row["relname"]
            for row in rows
            if not (row["relrowsecurity"] and row["relforcerowsecurity"])
        }
        assert unguarded == {"schema_migrations"}
        with pytest.raises(Exception, match="permission denied"):
            async with database.transaction({WORKSPACE}) as transaction:
                await transaction.execute("DELETE FROM audit_log")


async def test_a_migration_that_was_edited_after_it_was_applied_is_refused(harness):
    await harness.migrate(SERVICE, "passferry_testing")
    await harness.migrate(SERVICE, "passferry_testing")
    async with Database.open(harness.admin_url, service=SERVICE) as admin:
        await admin.pool.execute("UPDATE ledger.schema_migrations SET sha256 = 'other'")
    with pytest.raises(MigrationChanged):
        await harness.migrate(SERVICE, "passferry_testing")


def test_a_redemption_shares_the_lane_of_its_balance_change():
    assert PASS_REDEEMED.key == PASS_BALANCE_CHANGED.key
    assert PASS_REDEEMED.partitions == PASS_BALANCE_CHANGED.partitions
    assert PassRedeemed.event_type == "pass.redeemed"
