"""Puts the bridge together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from passferry_event_bridge.adapters.http_sinks import HttpSinks
from passferry_event_bridge.adapters.kafka_dead_letters import KafkaDeadLetters
from passferry_event_bridge.adapters.postgres_backlog import PostgresBacklog
from passferry_event_bridge.adapters.postgres_intake import PostgresIntake
from passferry_event_bridge.adapters.postgres_sinks import PostgresSinks
from passferry_event_bridge.adapters.postgres_turns import PostgresTurns
from passferry_event_bridge.adapters.prometheus_observer import PrometheusObserver
from passferry_event_bridge.adapters.redis_counter import NoCounter, RedisCounter
from passferry_event_bridge.adapters.workspace_list import WorkspaceList
from passferry_event_bridge.application.forward_events import ForwardEvents
from passferry_event_bridge.application.manage_sinks import ManageSinks
from passferry_event_bridge.application.ports import BridgedCounter
from passferry_event_bridge.application.take_events import TakeEvents
from passferry_event_bridge.entrypoints import http_routes, kafka_routes
from passferry_event_bridge.entrypoints.forwarding_worker import ForwardingWorker
from passferry_event_bridge.settings import BridgeSettings
from passferry_runtime.auth import Authenticator
from passferry_runtime.clock import SystemClock
from passferry_runtime.crypto import KeyRing
from passferry_runtime.http import create_app
from passferry_runtime.kafka.consumer import Consumer
from passferry_runtime.kafka.dead_letters import DeadLetters
from passferry_runtime.kafka.settings import kafka_settings
from passferry_runtime.lifecycle import Check, CheckResult, Service
from passferry_runtime.postgres import Database
from passferry_runtime.redis import open_redis

NAME = "event-bridge"
VERSION = "0.1.0"


@asynccontextmanager
async def service(settings: BridgeSettings) -> AsyncIterator[Service]:
    clock = SystemClock()
    kafka = kafka_settings(settings, NAME)
    group = settings.consumer_group
    key_ring = KeyRing.from_file(settings.key_ring_file, environment=settings.environment)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.open(
                settings.database_url.get_secret_value(),
                service=NAME,
                max_size=settings.database_pool_size,
                clock=clock,
            )
        )
        gateway = await stack.enter_async_context(
            HttpSinks.open(
                allowed_hosts=settings.sink_allowed_hosts,
                timeout_s=settings.sink_timeout_s,
                connections=settings.sink_concurrency,
                version=VERSION,
            )
        )
        counter: BridgedCounter = NoCounter()
        if settings.redis_url is not None:
            url = settings.redis_url.get_secret_value()
            counter = RedisCounter(await stack.enter_async_context(open_redis(url)))
        turns = PostgresTurns(database)
        stack.push_async_callback(turns.close)

        workspaces = WorkspaceList()
        access = workspaces.reader(kafka)
        observer = PrometheusObserver()
        sinks = PostgresSinks(database, key_ring)
        backlog = PostgresBacklog(database)
        forwarding = ForwardingWorker(
            sinks=sinks,
            backlog=backlog,
            workspaces=workspaces,
            observer=observer,
            backlog_max=settings.sink_backlog_max,
        )
        letters = DeadLetters(kafka, service=NAME, group=kafka.group_prefix + group)
        stack.push_async_callback(letters.close)
        forwarding.forward_with(
            ForwardEvents(
                backlog=backlog,
                sinks=sinks,
                gateway=gateway,
                turns=turns,
                dead_letters=KafkaDeadLetters(letters),
                counter=counter,
                workspaces=workspaces,
                observer=observer,
                is_stopping=forwarding.is_stopping,
                troubles=forwarding.troubles,
                in_flight=asyncio.Semaphore(settings.sink_concurrency),
            )
        )
        take = TakeEvents(
            intake=PostgresIntake(database),
            workspaces=workspaces,
            observer=observer,
            wake=forwarding.wake,
            is_full=forwarding.is_full,
            created_name=settings.created_event_name,
            version=VERSION,
        )
        consumer = Consumer(
            service=NAME,
            settings=kafka,
            group=group,
            routes=kafka_routes.routes(take),
            database=database,
            clock=clock,
        )
        manage = ManageSinks(
            sinks=sinks,
            backlog=backlog,
            clock=clock,
            allowed_hosts=settings.sink_allowed_hosts,
        )
        http = create_app(
            title="Passferry event bridge",
            version=VERSION,
            auth=Authenticator(
                workspaces,
                mode=settings.auth_mode,
                single_workspace_id=settings.single_workspace_id,
                clock=clock,
            ),
            routers=[http_routes.router(manage, forwarding.renew)],
        )

        async def database_answers() -> CheckResult:
            await database.ping()
            return CheckResult("ok")

        yield Service(
            name=NAME,
            http=http,
            workers=[access.worker, consumer.worker, forwarding.worker],
            checks=[
                Check(name="postgres", probe=database_answers),
                access.check,
                consumer.check,
                forwarding.check,
            ],
        )
