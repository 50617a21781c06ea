"""Puts the web service together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import httpx

from passferry_runtime.auth import AccessDirectory, Authenticator
from passferry_runtime.clock import SystemClock
from passferry_runtime.crypto import KeyRing
from passferry_runtime.http import create_app
from passferry_runtime.kafka.consumer import Consumer
from passferry_runtime.kafka.settings import kafka_settings
from passferry_runtime.lifecycle import Check, CheckResult, Service
from passferry_runtime.outbox import OutboxRelay
from passferry_runtime.postgres import Database
from passferry_wallet_webservice.adapters.google_root_keys import GoogleRootKeys
from passferry_wallet_webservice.adapters.postgres_passes import PostgresPasses
from passferry_wallet_webservice.adapters.postgres_registrations import PostgresRegistrations
from passferry_wallet_webservice.adapters.postgres_revisions import PostgresRevisions
from passferry_wallet_webservice.adapters.postgres_templates import PostgresTemplates
from passferry_wallet_webservice.adapters.postgres_visits import PostgresVisits
from passferry_wallet_webservice.application.assemble_bundle import AssembleBundle
from passferry_wallet_webservice.entrypoints import api_routes, kafka_routes
from passferry_wallet_webservice.entrypoints.device_routes import DeviceRoutes
from passferry_wallet_webservice.entrypoints.google_routes import GoogleRoutes
from passferry_wallet_webservice.entrypoints.link_routes import LinkRoutes
from passferry_wallet_webservice.settings import WebserviceSettings

NAME = "wallet-webservice"
VERSION = "0.1.0"


@asynccontextmanager
async def service(settings: WebserviceSettings) -> AsyncIterator[Service]:
    clock = SystemClock()
    kafka = kafka_settings(settings, NAME)
    ring = KeyRing.from_file(settings.push_token_key_ring_file, environment=settings.environment)
    async with (
        Database.open(
            settings.database_url.get_secret_value(),
            service=NAME,
            max_size=settings.database_pool_size,
            clock=clock,
        ) as database,
        httpx.AsyncClient(follow_redirects=False, limits=httpx.Limits(max_connections=4)) as client,
    ):
        directory = AccessDirectory()
        access = directory.reader(kafka)
        passes = PostgresPasses(database)
        revisions = PostgresRevisions(database, clock)
        templates = PostgresTemplates(database)
        registrations = PostgresRegistrations(database, clock)
        visits = PostgresVisits(database, clock)
        assemble = AssembleBundle(passes)
        relay = OutboxRelay(database, kafka)
        consumer = Consumer(
            service=NAME,
            settings=kafka,
            routes=kafka_routes.routes(revisions, templates, registrations),
            database=database,
        )

        def issuers_of(workspace_id: UUID) -> Sequence[str]:
            known = directory.workspace(workspace_id)
            return known.google_issuer_ids if known is not None else ()

        async def database_answers() -> CheckResult:
            await database.ping()
            return CheckResult("ok")

        links = LinkRoutes(
            passes=passes,
            revisions=revisions,
            visits=visits,
            assemble=assemble,
            clock=clock,
            public_base_url=settings.public_base_url,
            signature_wait_s=settings.signature_wait_s,
            save_link_max_age_s=settings.save_link_max_age_s,
        )
        google = GoogleRoutes(
            visits=visits,
            root_keys=GoogleRootKeys(client, settings.google_root_keys_url),
            issuers_of=issuers_of,
            sender_id=settings.google_callback_sender,
            clock=clock,
        )
        devices = DeviceRoutes(
            passes=passes,
            registrations=registrations,
            visits=visits,
            assemble=assemble,
            push_token_ring=ring,
            is_known_workspace=directory.is_known,
        )
        http = create_app(
            title="Passferry wallet web service",
            version=VERSION,
            auth=Authenticator(
                directory,
                mode=settings.auth_mode,
                single_workspace_id=settings.single_workspace_id,
                clock=clock,
            ),
            # The device routes take whatever is left below a workspace, so they come last.
            routers=[
                api_routes.router(registrations, visits),
                links.router(),
                google.router(),
                devices.router(),
            ],
        )
        yield Service(
            name=NAME,
            http=http,
            workers=[access.worker, consumer.worker, relay.worker],
            checks=[
                Check(name="postgres", probe=database_answers),
                access.check,
                consumer.check,
                relay.check,
            ],
        )
