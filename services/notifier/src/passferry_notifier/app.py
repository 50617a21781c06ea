"""Puts the notifier together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import httpx
from fastapi import FastAPI
from redis.asyncio import Redis

from passferry_contracts.types import Channel as DeliveryChannel
from passferry_notifier.adapters.apns_provider_tokens import ProviderTokens
from passferry_notifier.adapters.google_limits import RedisNotificationBudget, RequestQuota
from passferry_notifier.adapters.httpx_google import HttpxGoogle
from passferry_notifier.adapters.postgres_deliveries import PostgresDeliveries
from passferry_notifier.adapters.postgres_google import PostgresGoogle
from passferry_notifier.adapters.postgres_messages import PostgresMessages
from passferry_notifier.adapters.postgres_rings import PostgresRings
from passferry_notifier.adapters.postgres_turns import PostgresReplicaTurns
from passferry_notifier.adapters.postgres_waiting_classes import PostgresWaitingClasses
from passferry_notifier.adapters.prometheus_meter import PrometheusMeter
from passferry_notifier.adapters.push_token_ring import PushTokenRing
from passferry_notifier.adapters.redis_push_tokens import NoPushTokens, RedisPushTokens
from passferry_notifier.adapters.workspace_credentials import WorkspaceCredentials
from passferry_notifier.adapters.wreq_apns import WreqApns
from passferry_notifier.application import ring_devices as ringing
from passferry_notifier.application import send_messages as messaging
from passferry_notifier.application import update_google as updating
from passferry_notifier.application.bring_classes import BringClasses
from passferry_notifier.application.follow_newsstand import FollowNewsstand
from passferry_notifier.application.follow_renderings import FollowRenderings
from passferry_notifier.application.keep_classes import KeepClasses
from passferry_notifier.application.keep_sending import Channel, KeepSending
from passferry_notifier.application.record_outcomes import Recorder
from passferry_notifier.application.ring_devices import UNREGISTERED, RingDevices
from passferry_notifier.application.send_messages import AddMessages, SendMessages
from passferry_notifier.application.turns import Turns
from passferry_notifier.application.update_google import SendToGoogle, UpdateGoogle
from passferry_notifier.domain.retry_policy import RetryPolicy
from passferry_notifier.entrypoints import api_routes, health_checks, kafka_routes
from passferry_notifier.settings import NotifierSettings
from passferry_runtime.auth import AccessDirectory, Authenticator
from passferry_runtime.clock import SystemClock
from passferry_runtime.crypto import KeyRing
from passferry_runtime.http import create_app
from passferry_runtime.kafka.consumer import Consumer
from passferry_runtime.kafka.settings import KafkaSettings, kafka_settings
from passferry_runtime.kafka.table_reader import TableReader
from passferry_runtime.lifecycle import Check, CheckResult, Service, Worker
from passferry_runtime.outbox import OutboxRelay
from passferry_runtime.postgres import Database
from passferry_runtime.redis import open_redis

NAME = "notifier"
VERSION = "0.1.0"


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What is open for as long as the service runs, and what everything shares."""

    settings: NotifierSettings
    clock: SystemClock
    kafka: KafkaSettings
    database: Database
    redis: Redis | None
    client: httpx.AsyncClient
    access: AccessDirectory
    access_reader: TableReader
    credentials: WorkspaceCredentials
    cache: RedisPushTokens | NoPushTokens
    recorder: Recorder
    meter: PrometheusMeter
    deliveries: PostgresDeliveries


@asynccontextmanager
async def service(settings: NotifierSettings) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        parts = await _open(settings, stack)
        rings, google = PostgresRings(parts.database), PostgresGoogle(parts.database)
        ring_devices = _apple(parts)
        update_google, send = _google(parts, google)
        keeping_classes = _classes(parts, send)
        send_messages, sending_messages = _messages(parts, send, update_google)
        sending = _sending(parts, rings, ring_devices, google, update_google)

        def credentials_changed(workspace_id: UUID) -> None:
            for missing in (ring_devices.missing, update_google.missing):
                missing -= {each for each in missing if each[0] == workspace_id}
            sending.credentials_changed(workspace_id)
            sending_messages.credentials_changed(workspace_id)
            keeping_classes.credentials_changed(workspace_id)

        parts.credentials.on_changed = credentials_changed
        newsstand = FollowNewsstand(
            store=rings,
            cache=parts.cache,
            ring_devices=ring_devices,
            clock=parts.clock,
            lease_s=settings.delivery_lease_s,
        )
        renderings = FollowRenderings(
            store=google,
            update_google=update_google,
            bring_classes=keeping_classes.bring,
            clock=parts.clock,
            lease_s=settings.delivery_lease_s,
        )
        relay = OutboxRelay(parts.database, parts.kafka)
        consumer = Consumer(
            service=NAME,
            settings=parts.kafka,
            routes=kafka_routes.routes(
                newsstand, renderings, send_messages, parts.meter.registered
            ),
            database=parts.database,
        )
        yield Service(
            name=NAME,
            http=_http(parts, rings),
            workers=[
                parts.access_reader.worker,
                parts.credentials.reader.worker,
                consumer.worker,
                Worker(name="sending", run=sending.run, stop=sending.stop),
                Worker(
                    name="sending_messages", run=sending_messages.run, stop=sending_messages.stop
                ),
                Worker(name="keeping_classes", run=keeping_classes.run, stop=keeping_classes.stop),
                relay.worker,
            ],
            checks=[
                _database_check(parts.database),
                parts.access_reader.check,
                parts.credentials.reader.check,
                consumer.check,
                relay.check,
                health_checks.channel_check(
                    DeliveryChannel.APPLE_WALLET, [ring_devices.dispatcher], ring_devices.missing
                ),
                health_checks.channel_check(
                    DeliveryChannel.GOOGLE_WALLET,
                    [update_google.dispatcher, send_messages.dispatcher],
                    update_google.missing,
                ),
                health_checks.classes_check(lambda: keeping_classes.groups),
                health_checks.credentials_check(parts.credentials.unreadable),
            ],
        )


async def _open(settings: NotifierSettings, stack: AsyncExitStack) -> _Parts:
    clock = SystemClock()
    kafka = kafka_settings(settings, NAME)
    ring = KeyRing.from_file(settings.credentials_key_ring_file, environment=settings.environment)
    database = await stack.enter_async_context(
        Database.open(
            settings.database_url.get_secret_value(),
            service=NAME,
            max_size=settings.database_pool_size,
            clock=clock,
        )
    )
    redis = None
    if settings.redis_url is not None:
        redis = await stack.enter_async_context(open_redis(settings.redis_url.get_secret_value()))
    client = await stack.enter_async_context(
        httpx.AsyncClient(
            follow_redirects=False,
            timeout=httpx.Timeout(10.0),
            limits=httpx.Limits(max_connections=100),
            trust_env=False,
        )
    )
    meter = PrometheusMeter(settings.metrics_workspace_limit)
    cache = RedisPushTokens(redis, meter) if redis is not None else NoPushTokens()
    deliveries = PostgresDeliveries(database)
    policy = RetryPolicy(
        first_s=settings.delivery_first_retry_s,
        max_attempts=settings.delivery_max_attempts,
        max_age_s=settings.delivery_max_age_s,
    )
    access = AccessDirectory()
    access_reader = access.reader(kafka)
    return _Parts(
        settings=settings,
        clock=clock,
        kafka=kafka,
        database=database,
        redis=redis,
        client=client,
        access=access,
        access_reader=access_reader,
        credentials=WorkspaceCredentials(ring, kafka, known_with=access_reader),
        cache=cache,
        recorder=Recorder(store=deliveries, cache=cache, meter=meter, clock=clock, policy=policy),
        meter=meter,
        deliveries=deliveries,
    )


def _apple(parts: _Parts) -> RingDevices:
    settings = parts.settings
    ring = KeyRing.from_file(settings.push_token_key_ring_file, environment=settings.environment)
    ca_pem = settings.apns_ca_file.read_bytes() if settings.apns_ca_file else None
    ring_devices = RingDevices(
        credentials=parts.credentials,
        is_suspended=parts.access.is_suspended,
        cache=parts.cache,
        opener=PushTokenRing(ring),
        recorder=parts.recorder,
        meter=parts.meter,
    )
    ring_devices.dispatcher = ringing.dispatcher_for(
        ring_devices,
        WreqApns(settings.apns_base_url, ca_pem, ProviderTokens(parts.redis), parts.clock),
        per_credential=settings.apns_in_flight_per_credential,
        in_total=settings.apns_in_flight_total,
        interval_s=settings.ring_interval_s,
    )
    return ring_devices


def _google(parts: _Parts, store: PostgresGoogle) -> tuple[UpdateGoogle, SendToGoogle]:
    settings = parts.settings
    quota = RequestQuota(parts.redis, settings.google_requests_per_second)
    update_google = UpdateGoogle(
        credentials=parts.credentials,
        is_suspended=parts.access.is_suspended,
        recorder=parts.recorder,
    )
    send = SendToGoogle(
        store=store,
        gateway=HttpxGoogle(parts.client, settings.google_base_url, quota, parts.clock),
        budget=RedisNotificationBudget(parts.redis),
        clock=parts.clock,
        turns=Turns(PostgresReplicaTurns(parts.database)),
    )
    update_google.dispatcher = updating.dispatcher_for(update_google, send, parts.meter)
    return update_google, send


def _classes(parts: _Parts, send: SendToGoogle) -> KeepClasses:
    waiting = PostgresWaitingClasses(parts.database)
    bring = BringClasses(
        credentials=parts.credentials,
        is_suspended=parts.access.is_suspended,
        send=send,
        waiting=waiting,
        clock=parts.clock,
        policy=parts.recorder.policy,
    )
    return KeepClasses(
        waiting=waiting,
        bring=bring,
        deliveries=parts.deliveries,
        credentials=parts.credentials,
        clock=parts.clock,
    )


def _messages(
    parts: _Parts, send: SendToGoogle, update_google: UpdateGoogle
) -> tuple[SendMessages, KeepSending]:
    """As updates of objects: the same limits, retries and outcomes, in a queue of their own."""
    store, settings = PostgresMessages(parts.database), parts.settings
    recorder = Recorder(
        store=store,
        cache=parts.cache,
        meter=parts.meter,
        clock=parts.clock,
        policy=parts.recorder.policy,
    )
    send_messages = SendMessages(
        store=store,
        credentials=parts.credentials,
        is_suspended=parts.access.is_suspended,
        recorder=recorder,
        clock=parts.clock,
        lease_s=settings.delivery_lease_s,
        max_age_s=settings.delivery_max_age_s,
        missing=update_google.missing,
    )
    add = AddMessages(
        store=store,
        gateway=send.gateway,
        budget=send.budget,
        clock=parts.clock,
        turns=send.turns,
    )
    messaging.messages_dispatcher(send_messages, add, parts.meter)

    async def claim(workspaces: Sequence[UUID], now: datetime, lease_until: datetime) -> int:
        claimed = await store.claim(workspaces, now=now, lease_until=lease_until)
        await send_messages(claimed)
        return len(claimed)

    return send_messages, KeepSending(
        channels=[Channel(dispatcher=send_messages.dispatcher, claim_due=claim)],
        deliveries=store,
        recorder=recorder,
        credentials=parts.credentials,
        clock=parts.clock,
        lease_s=settings.delivery_lease_s,
        retention=timedelta(days=settings.delivery_retention_days),
    )


def _sending(
    parts: _Parts,
    rings: PostgresRings,
    ring_devices: RingDevices,
    google: PostgresGoogle,
    update_google: UpdateGoogle,
) -> KeepSending:
    async def claim_rings(workspaces: Sequence[UUID], now: datetime, lease_until: datetime) -> int:
        claimed = await rings.claim(workspaces, now=now, lease_until=lease_until)
        if claimed.orphans:
            parts.recorder.add(claimed.orphans, UNREGISTERED)
        await ring_devices(claimed.rings, are_complete=False)
        return len(claimed.rings) + len(claimed.orphans)

    async def claim_updates(
        workspaces: Sequence[UUID], now: datetime, lease_until: datetime
    ) -> int:
        updates = await google.claim(workspaces, now=now, lease_until=lease_until)
        await update_google(updates)
        return len(updates)

    return KeepSending(
        channels=[
            Channel(dispatcher=ring_devices.dispatcher, claim_due=claim_rings),
            Channel(dispatcher=update_google.dispatcher, claim_due=claim_updates),
        ],
        deliveries=parts.deliveries,
        recorder=parts.recorder,
        credentials=parts.credentials,
        clock=parts.clock,
        lease_s=parts.settings.delivery_lease_s,
        retention=timedelta(days=parts.settings.delivery_retention_days),
    )


def _http(parts: _Parts, rings: PostgresRings) -> FastAPI:
    settings = parts.settings
    return create_app(
        title="Passferry notifier",
        version=VERSION,
        auth=Authenticator(
            parts.access,
            mode=settings.auth_mode,
            single_workspace_id=settings.single_workspace_id,
            clock=parts.clock,
        ),
        routers=[api_routes.router(parts.deliveries, rings)],
    )


def _database_check(database: Database) -> Check:
    async def probe() -> CheckResult:
        await database.ping()
        return CheckResult("ok")

    return Check(name="postgres", probe=probe)
