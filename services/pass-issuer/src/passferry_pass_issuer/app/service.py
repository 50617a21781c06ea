"""Builds the running service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version

from fastapi import APIRouter

from passferry_pass_issuer.adapters.google_classes import WalletGoogleClasses
from passferry_pass_issuer.adapters.wallet_identities import (
    WalletIdentityChecker,
    WalletServiceAccountChecker,
    read_authorities,
)
from passferry_pass_issuer.adapters.wallet_images import (
    check_image,
)
from passferry_pass_issuer.app.api import build_api
from passferry_pass_issuer.app.credentials import expiry_rounds
from passferry_pass_issuer.app.jobs import build_job_runner
from passferry_pass_issuer.app.parts import SERVICE, Stores, Surroundings
from passferry_pass_issuer.app.press import CONSUMER_GROUP, open_press
from passferry_pass_issuer.entrypoints import (
    http_brand,
    http_bulk,
    http_bulk_changes,
    http_bundles,
    http_credentials,
    http_funnel,
    http_holders,
    http_identities,
    http_imports,
    http_inbound_secrets,
    http_links,
    http_messages,
    http_pass_life,
    http_passes,
    http_programs,
    http_redraws,
    http_rollouts,
    http_template_checks,
    http_templates,
    http_workspaces,
)
from passferry_pass_issuer.entrypoints.check_credentials import CredentialCheck
from passferry_pass_issuer.entrypoints.check_reissues import reissues_check
from passferry_pass_issuer.entrypoints.check_upkeep import upkeep_check
from passferry_pass_issuer.entrypoints.worker_jobs import JobWorker
from passferry_pass_issuer.entrypoints.worker_signing_queue import (
    SigningQueue,
)
from passferry_pass_issuer.settings import PassIssuerSettings
from passferry_runtime.auth import AccessDirectory, Authenticator
from passferry_runtime.clock import SystemClock
from passferry_runtime.crypto import KeyRing
from passferry_runtime.http import create_app
from passferry_runtime.kafka.consumer import Consumer
from passferry_runtime.kafka.settings import kafka_settings
from passferry_runtime.lifecycle import Check, CheckResult, Service
from passferry_runtime.outbox import OutboxRelay
from passferry_runtime.postgres import Database
from passferry_runtime.rounds import Rounds
from passferry_runtime.turn import Turn

ROUTERS: Sequence[APIRouter] = (
    http_workspaces.router,
    http_workspaces.member_router,
    http_programs.router,
    http_templates.router,
    http_template_checks.router,
    http_brand.router,
    http_identities.router,
    http_credentials.router,
    http_inbound_secrets.router,
    http_imports.router,
    http_funnel.router,
    # Before the passes, whose routes take every path below a pass.
    http_links.router,
    http_messages.router,
    http_pass_life.router,
    http_passes.router,
    http_holders.router,
    http_bulk.router,
    http_bulk_changes.router,
    http_bundles.router,
    http_redraws.router,
    http_rollouts.router,
)


@asynccontextmanager
async def service(settings: PassIssuerSettings) -> AsyncIterator[Service]:
    kafka = kafka_settings(settings, SERVICE)
    clock = SystemClock()
    cipher = KeyRing.from_file(settings.key_ring_file, environment=settings.environment)
    shared = KeyRing.from_file(settings.credentials_key_ring_file, environment=settings.environment)
    authorities = read_authorities(settings.wwdr_directory)
    directory = AccessDirectory()
    stores = Stores.build(cipher)
    async with (
        Database.open(
            settings.database_url.get_secret_value(),
            service=SERVICE,
            max_size=settings.database_pool_size,
        ) as database,
        open_press(
            settings,
            database=database,
            directory=directory,
            stores=stores,
            cipher=cipher,
            clock=clock,
        ) as press,
    ):
        await press.start_signing()
        queue = SigningQueue(press.sign_waiting, press.find_unsigned)
        jobs = JobWorker()
        issuer = build_api(
            Surroundings(
                database=database,
                directory=directory,
                clock=clock,
                cipher=cipher,
                credentials_cipher=shared,
                public_base_url=settings.public_base_url,
                may_name_serial_number=settings.allow_serial_number_choice,
                renderer=press.renderer,
                revisions=press.revisions,
                google_classes=WalletGoogleClasses(settings.public_base_url),
                check_asset=check_image,
                identity_checker=WalletIdentityChecker(authorities),
                service_account_checker=WalletServiceAccountChecker(),
                sign_waiting=queue.request,
                forget_after=timedelta(seconds=settings.forget_after_s),
                erasures_remembered=timedelta(days=settings.erasures_remembered_days),
                wake_jobs=jobs.wake,
                rollout_max_per_second=settings.rollout_max_per_second,
                authorities=authorities,
            ),
            stores,
        )
        runner = build_job_runner(
            database,
            stores,
            issuer=issuer,
            press=press,
            directory=directory,
            results_kept_days=settings.job_results_kept_days,
        )
        jobs.give(runner.once)
        relay = OutboxRelay(database, kafka)
        access = directory.reader(kafka)
        time = Rounds(
            "time",
            issuer.life.keep_time,
            interval_s=settings.time_interval_s,
            turn=Turn(database, "time"),
            otherwise=issuer.life.keep_time.rest,
        )
        consumer = Consumer(
            service=SERVICE,
            group=CONSUMER_GROUP,
            settings=kafka,
            routes=press.routes(issuer),
            database=database,
            clock=clock,
        )

        async def probe_database() -> CheckResult:
            await database.ping()
            return CheckResult("ok")

        yield Service(
            name=SERVICE,
            http=create_app(
                title="Passferry pass-issuer",
                version=version("passferry-pass-issuer"),
                auth=Authenticator(
                    directory,
                    mode=settings.auth_mode,
                    single_workspace_id=settings.single_workspace_id,
                ),
                state={"issuer": issuer},
                routers=ROUTERS,
            ),
            # Stopped in this order: first what takes work in, at last what sends it out.
            workers=[
                consumer.worker,
                jobs.worker,
                queue.worker,
                time.worker,
                expiry_rounds(database, stores, clock).worker,
                relay.worker,
                access.worker,
            ],
            checks=[
                Check(name="postgres", probe=probe_database),
                access.check,
                consumer.check,
                relay.check,
                CredentialCheck(issuer.watch_credentials, clock).check,
                upkeep_check(issuer.life.keep_time.failures),
                reissues_check(issuer.life.keep_time.watch_reissues, clock),
                *press.checks,
            ],
        )
