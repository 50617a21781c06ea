"""Plays a day of trade from its file: commands by HTTP and Kafka, upstream events, nonsense."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from passferry_contracts.envelope import Envelope, encode_headers, encode_value
from passferry_contracts.events.inbound import InboundBalanceChanged, InboundRedeemed
from passferry_contracts.events.ledger import AdjustCommand, EarnCommand, RedeemCommand
from passferry_contracts.registry import TOPICS
from passferry_demo.operator import Operator, Workspace
from passferry_runtime.ids import uuid7
from passferry_runtime.kafka.producer import KafkaUnavailable, Producer
from passferry_runtime.kafka.records import OutgoingRecord
from passferry_runtime.kafka.settings import KafkaSettings

Line = dict[str, Any]
COMMANDS = {"earn": EarnCommand, "redeem": RedeemCommand, "adjust": AdjustCommand}
AT_ONCE = 32
#: A till asks again with the same key for this long: the pass may be on its way, or the ledger
#: starting again.
PATIENCE_S = 30.0
UNKNOWN_PATIENCE_S = 6.0


def read_day(path: Path) -> list[Line]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class CommandLost(Exception):
    """The ledger could not be asked within the till's patience."""


@dataclass(slots=True)
class DayPlayer:
    """Lines of one pass are played in order, those of different passes at once."""

    operator: Operator
    cafe: Workspace
    bookshop: Workspace
    kafka: KafkaSettings
    on_line: Callable[[Line], None]
    #: external id → what the ledger answered last by HTTP
    outcomes: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    _issued: dict[str, asyncio.Event] = field(default_factory=dict)

    async def play(self, lines: list[Line], *, lines_per_second: float | None) -> None:
        """All lines, at a pace or as fast as the services take them."""
        slots = asyncio.Semaphore(AT_ONCE)
        last: dict[str, asyncio.Task[None]] = {}
        async with _SteadyProducer(self.kafka) as producer, asyncio.TaskGroup() as group:
            started_at = asyncio.get_running_loop().time()
            for number, line in enumerate(lines):
                if lines_per_second is not None:
                    due = started_at + number / lines_per_second
                    await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
                await slots.acquire()
                lane = f"{line['kind']}:{line.get('external_id', number)}"
                before = last.get(lane)
                task = group.create_task(self._play(line, before, producer))
                task.add_done_callback(lambda _: slots.release())
                last[lane] = task

    async def _play(
        self, line: Line, before: asyncio.Task[None] | None, producer: _SteadyProducer
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        match line["kind"]:
            case "command" if line["via"] == "http":
                await self._command_by_http(line)
            case "command":
                await producer.send(self._command_record(line))
            case "enrol":
                await self.operator.issue(self.cafe, [enrolment(line)])
            case "upstream":
                await producer.send(self._upstream_record(line))
            case _:
                await producer.send(self._raw_record(line))
        self.on_line(line)

    async def _command_by_http(self, line: Line) -> None:
        """As a careful till: the same key until there is an answer."""
        path = (
            f"/api/v1/workspaces/{self.cafe.workspace_id}"
            f"/passes/external:{line['external_id']}/{line['action']}"
        )
        headers = {"Idempotency-Key": line["idempotency_key"]}
        clock = asyncio.get_running_loop().time
        began_at = clock()
        while True:
            answer = await self._ask(path, headers, _body(line))
            waited = clock() - began_at
            if answer is None or answer.status_code in {401, 429, 500, 502, 503}:
                if waited > PATIENCE_S:
                    raise CommandLost(f"{line['idempotency_key']}: {answer}")
            elif answer.status_code != 404 or waited > UNKNOWN_PATIENCE_S:
                self._count(answer)
                return
            self.retries += 1
            await asyncio.sleep(0.2)

    async def _ask(
        self, path: str, headers: dict[str, str], body: dict[str, Any]
    ) -> httpx.Response | None:
        with contextlib.suppress(httpx.HTTPError):
            return await self.operator.call(
                "ledger", "POST", path, self.cafe.api_key, headers=headers, json=body
            )
        return None

    def _count(self, answer: httpx.Response) -> None:
        if answer.headers.get("Idempotency-Replayed") == "true":
            self.outcomes["replayed"] += 1
        elif answer.is_success:
            self.outcomes["applied"] += 1
        else:
            self.outcomes[str(answer.json().get("code", answer.status_code))] += 1

    def _command_record(self, line: Line) -> OutgoingRecord:
        command = COMMANDS[line["action"]](
            workspace_id=self.cafe.workspace_id,
            external_id=line["external_id"],
            amount_minor=line["amount"],
            idempotency_key=line["idempotency_key"],
            reference=line.get("reference"),
            reason=line.get("reason"),
            merchant_name=line.get("merchant_name"),
            location=line.get("location"),
            terminal=line.get("terminal"),
        )
        return _record("ledger.commands", command, "/till")

    def _upstream_record(self, line: Line) -> OutgoingRecord:
        shared = {
            "business_id": "book-shop-1",
            "external_id": line["external_id"],
            "version": line["version"],
            "occurred_at": datetime.fromisoformat(line["at"]),
            "reference": line.get("reference"),
        }
        event: InboundBalanceChanged | InboundRedeemed
        if line["type"] == "pass.balance_changed":
            event = InboundBalanceChanged(**shared, new_balance_minor=line["balance"])
        else:
            event = InboundRedeemed(
                **shared, amount_minor=line["amount"], remaining_minor=line["remaining"]
            )
        return _record("pass.inbound", event, "/bookshop")

    def _raw_record(self, line: Line) -> OutgoingRecord:
        if "body_base64" in line:
            value = base64.b64decode(line["body_base64"])
        else:
            text = line["body"].replace("@@cafe@@", str(self.cafe.workspace_id))
            value = text.replace("@@bookshop@@", str(self.bookshop.workspace_id)).encode()
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", str(uuid7()).encode()),
            ("ce_source", b"/nonsense"),
            ("ce_type", line["type"].encode()),
            ("ce_time", line["at"].encode()),
            ("content-type", b"application/json"),
        )
        return OutgoingRecord(line["topic"], line["key"].encode(), value, headers)


def enrolment(line: Line) -> dict[str, str]:
    names = ("external_id", "full_name", "email", "locale", "birthday")
    return {name: line.get(name) or "" for name in names} | {
        "opening_balance": str(line["opening_balance"])
    }


def _body(line: Line) -> dict[str, Any]:
    names = ("reference", "reason", "merchant_name", "location", "terminal")
    body = {name: line[name] for name in names if name in line}
    return body | {"amount_minor": line["amount"]}


def _record(topic: str, data: Any, source: str) -> OutgoingRecord:
    envelope = Envelope(
        id=str(uuid7()), source=source, type=data.event_type, time=datetime.now(UTC), data=data
    )
    return OutgoingRecord(
        TOPICS[topic].name,
        envelope.key.encode(),
        encode_value(envelope),
        tuple(encode_headers(envelope)),
    )


class _SteadyProducer:
    """A producer that is opened again when the broker was away."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._stack = contextlib.AsyncExitStack()
        self._producer: Producer | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(self, record: OutgoingRecord) -> None:
        async with self._turn:
            for attempt in range(60):
                try:
                    if self._producer is None:
                        opened = Producer.open(self._kafka, client_id="demo-upstream")
                        self._producer = await self._stack.enter_async_context(opened)
                    await self._producer.send_all([record])
                    return
                except Exception as error:
                    await self._reopen()
                    if attempt == 59:
                        raise KafkaUnavailable("the broker did not come back") from error
                    await asyncio.sleep(0.5)

    async def _reopen(self) -> None:
        self._producer = None
        with contextlib.suppress(Exception):
            await self._stack.aclose()
        self._stack = contextlib.AsyncExitStack()
