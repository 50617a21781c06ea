"""What a shop's backend does to keep its customers' passes current.

The shop keeps the balances itself; Passferry shows them. Each function below puts one event on
`pass.inbound`: a CloudEvent in Kafka's binary mode, signed with the secret of the workspace.

It needs aiokafka and nothing of Passferry. Run it over a file of events:

    SHOP_INBOUND_SECRET=whsec_… python shop_backend.py --brokers localhost:9092 \
        --workspace 0198a1c4-… events.ndjson
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import logging
import os
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

TOPIC = "pass.inbound"
SECRET_PREFIX = "whsec_"  # noqa: S105  # marks a secret and is none
MAX_ATTEMPTS = 6
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
MAX_VALUE_BYTES = 64_000
#: Event ids are made of what happened, so that the same thing sent twice has one id.
EVENT_IDS = uuid.UUID("5b0f3f0a-6a0e-5d0c-9a57-4f5b2d1c7e10")

log = logging.getLogger("shop_backend")

Fields = Mapping[str, str | int | bool | None]


class NotDelivered(Exception):
    """Kafka did not take the event within the bound; sending it again later is safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event before it is signed. `version` grows with every change of the shop's own row of
    the pass: Passferry ignores what is older than what it has."""

    type: str
    external_id: str
    version: int
    occurred_at: datetime
    members: Mapping[str, Any] = field(default_factory=dict)


def key_of(secret: str) -> bytes:
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"the secret begins with {SECRET_PREFIX}")
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)


def signature(
    *, key: bytes, type_: bytes, id_: bytes, time: bytes, value: bytes, with_: bytes
) -> str:
    """`v1,` and the HMAC of key, type, id and time, each with a line feed behind it, and value."""
    signed = b"".join(part + b"\n" for part in (key, type_, id_, time)) + value
    digest = hmac.new(with_, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class ShopBackend:
    """Use it as `async with`; one of it serves the whole process."""

    def __init__(
        self,
        *,
        brokers: str,
        workspace_id: str,
        secret: str,
        source: str = "/shop",
        topic: str = TOPIC,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._workspace_id = workspace_id
        self._key = key_of(secret)
        self._source = source
        self._topic = topic
        self._producer = AIOKafkaProducer(
            bootstrap_servers=brokers,
            # Kafka itself drops what a retry of its client repeats.
            enable_idempotence=True,
            acks="all",
            compression_type=None,
            request_timeout_ms=20_000,
            security_protocol="SSL" if tls else "PLAINTEXT",
            ssl_context=tls,
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._producer.stop()

    async def issue(
        self,
        external_id: str,
        *,
        program_id: str,
        version: int,
        balance_minor: int = 0,
        holder: Mapping[str, str] | None = None,
        fields: Fields | None = None,
        code: str | None = None,
    ) -> str:
        """Issue a pass. Its link is read by `GET …/passes/external:<external_id>`."""
        members = {
            "program_id": program_id,
            "balance_minor": balance_minor,
            "holder": dict(holder or {}),
            "fields": dict(fields or {}),
            **({"code": code} if code is not None else {}),
        }
        return await self._say("pass.created", external_id, version, members)

    async def set_balance(
        self, external_id: str, *, version: int, new_balance_minor: int, reason: str = "upstream"
    ) -> str:
        members = {"new_balance_minor": new_balance_minor, "reason": reason}
        return await self._say("pass.balance_changed", external_id, version, members)

    async def redeem(
        self,
        external_id: str,
        *,
        version: int,
        amount_minor: int,
        remaining_minor: int,
        exhausted: bool = False,
        reference: str | None = None,
    ) -> str:
        """`exhausted`: the pass cannot be used again and is voided."""
        members = {
            "amount_minor": amount_minor,
            "remaining_minor": remaining_minor,
            "exhausted": exhausted,
            **({"reference": reference} if reference is not None else {}),
        }
        return await self._say("pass.redeemed", external_id, version, members)

    async def update(self, external_id: str, *, version: int, fields: Fields) -> str:
        return await self._say("pass.updated", external_id, version, {"fields": dict(fields)})

    async def void(self, external_id: str, *, version: int, reason: str) -> str:
        return await self._say("pass.voided", external_id, version, {"reason": reason})

    async def _say(
        self, type_: str, external_id: str, version: int, members: Mapping[str, Any]
    ) -> str:
        now = datetime.now(UTC)
        return await self.send(
            Event(
                type=type_,
                external_id=external_id,
                version=version,
                occurred_at=now,
                members=members,
            )
        )

    async def send(self, event: Event) -> str:
        """Returns the event's id once Kafka has it on all replicas. Raises `NotDelivered`."""
        key, value, headers = self.record(event)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                await self._producer.send_and_wait(
                    self._topic, value=value, key=key, headers=headers
                )
            except KafkaError as error:
                if not error.retriable or attempt == MAX_ATTEMPTS:
                    raise NotDelivered(f"{event.type} of {event.external_id}") from error
                log.warning("attempt %d failed: %s", attempt, type(error).__name__)
                await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S))
            else:
                break
        return dict(headers)["ce_id"].decode()

    def record(self, event: Event) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        """(key, value, headers) as they are sent."""
        body = {
            **event.members,
            "workspace_id": self._workspace_id,
            "external_id": event.external_id,
            "version": event.version,
            "occurred_at": event.occurred_at.isoformat(),
        }
        value = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        if len(value) > MAX_VALUE_BYTES:
            raise ValueError(f"an event has at most {MAX_VALUE_BYTES} bytes")
        # Events of one pass have one key, so they stay in order.
        key = event.external_id.encode()
        name = f"{self._workspace_id}:{event.external_id}:{event.type}:{event.version}"
        id_ = str(uuid.uuid5(EVENT_IDS, name)).encode()
        time = event.occurred_at.astimezone(UTC).isoformat().encode()
        type_ = event.type.encode()
        signed = signature(key=key, type_=type_, id_=id_, time=time, value=value, with_=self._key)
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", id_),
            ("ce_source", self._source.encode()),
            ("ce_type", type_),
            ("ce_time", time),
            ("ce_workspaceid", self._workspace_id.encode()),
            ("content-type", b"application/json"),
            ("pf-signature", signed.encode()),
        ]
        return key, value, headers


def events_of(text: str) -> list[Event]:
    """One event a line: `{"type", "external_id", "version", …}`."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            members = json.loads(line)
            event = Event(
                type=members.pop("type"),
                external_id=members.pop("external_id"),
                version=members.pop("version"),
                occurred_at=datetime.now(UTC),
                members=members,
            )
        except (ValueError, KeyError, AttributeError) as error:
            raise SystemExit(f"line {number} is no event: {error}") from error
        found.append(event)
    return found


async def run(arguments: argparse.Namespace) -> None:
    backend = ShopBackend(
        brokers=arguments.brokers,
        workspace_id=arguments.workspace,
        secret=os.environ["SHOP_INBOUND_SECRET"],
        tls=ssl.create_default_context(cafile=arguments.ca) if arguments.ca else None,
    )
    async with backend:
        for event in events_of(arguments.events.read_text(encoding="utf-8")):
            event_id = await backend.send(event)
            print(f"{event.type} {event.external_id} version {event.version}: {event_id}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--ca", help="PEM file of Kafka's authority; without it, no TLS")
    parser.add_argument("events", type=Path)
    logging.basicConfig(level=logging.INFO)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
