"""Builds the pass-issuer: the one place that knows which adapter serves which port."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

from cryptography.x509 import Certificate
from fastapi import APIRouter

from passferry_pass_issuer.adapters.google_classes import WalletGoogleClasses
from passferry_pass_issuer.adapters.pass_archives import open_upload
from passferry_pass_issuer.adapters.pass_signatures import WalletPassSignatures
from passferry_pass_issuer.adapters.postgres_audit import PostgresAudit
from passferry_pass_issuer.adapters.postgres_credentials import (
    PostgresCredentials,
    PostgresCredentialStore,
)
from passferry_pass_issuer.adapters.postgres_funnel import PostgresFunnel
from passferry_pass_issuer.adapters.postgres_holders import PostgresHolders
from passferry_pass_issuer.adapters.postgres_idempotency import PostgresIdempotency
from passferry_pass_issuer.adapters.postgres_imports import PostgresImports
from passferry_pass_issuer.adapters.postgres_inbound_secrets import PostgresInboundSecrets
from passferry_pass_issuer.adapters.postgres_links import PostgresLinks
from passferry_pass_issuer.adapters.postgres_passes import PostgresPasses
from passferry_pass_issuer.adapters.postgres_programs import PostgresPrograms
from passferry_pass_issuer.adapters.postgres_revisions import PostgresRevisions
from passferry_pass_issuer.adapters.postgres_templates import PostgresCatalogue, PostgresTemplates
from passferry_pass_issuer.adapters.postgres_workspaces import PostgresApiKeys, PostgresWorkspaces
from passferry_pass_issuer.adapters.segno_qr import SegnoQrCodes
from passferry_pass_issuer.adapters.thread_signer import ThreadSigner
from passferry_pass_issuer.adapters.wallet_identities import (
    WalletIdentityChecker,
    WalletServiceAccountChecker,
    read_authorities,
)
from passferry_pass_issuer.adapters.wallet_images import check_image
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.application.administer_programs import ChangeProgram, CreateProgram
from passferry_pass_issuer.application.administer_workspaces import (
    AnnounceAccess,
    ChangeWorkspace,
    CreateAdministrator,
    CreateApiKey,
    CreateWorkspace,
    RevokeApiKey,
)
from passferry_pass_issuer.application.admit_inbound import AdmitInbound
from passferry_pass_issuer.application.apply_events import (
    ApplyEvents,
    Effect,
    ledger_effect,
    wallet_effect,
)
from passferry_pass_issuer.application.change_passes import ChangeFields, EndPass
from passferry_pass_issuer.application.check_inbound_signatures import (
    CheckInboundSignatures,
    KeepInboundSecrets,
)
from passferry_pass_issuer.application.count_funnel import CountFunnel
from passferry_pass_issuer.application.distribute_links import DistributeLinks
from passferry_pass_issuer.application.edit_templates import (
    ChangeTemplate,
    CreateTemplate,
    GoogleClasses,
    PublishTemplate,
    StoreTemplateFile,
    TemplateFile,
)
from passferry_pass_issuer.application.find_unsigned import FindUnsigned
from passferry_pass_issuer.application.import_passes import ImportPasses
from passferry_pass_issuer.application.issue_passes import IssuePasses
from passferry_pass_issuer.application.keep_credentials import (
    AnnounceCredentials,
    IdentityChecker,
    ServiceAccountChecker,
    UploadGoogleAccount,
    UploadSigningIdentity,
)
from passferry_pass_issuer.application.ports import Cipher, RevisionRenderer, RevisionWriter
from passferry_pass_issuer.application.read_imports import ReadImports
from passferry_pass_issuer.application.render_revisions import RenderRevisions, SignWaiting
from passferry_pass_issuer.application.watch_credentials import WatchCredentials
from passferry_pass_issuer.application.work import Workbench
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.workspace import PLATFORM_ID
from passferry_pass_issuer.entrypoints import (
    http_credentials,
    http_funnel,
    http_imports,
    http_inbound_secrets,
    http_links,
    http_passes,
    http_programs,
    http_templates,
    http_workspaces,
    kafka_routes,
)
from passferry_pass_issuer.entrypoints.check_credentials import CredentialCheck
from passferry_pass_issuer.entrypoints.http_imports import Imports
from passferry_pass_issuer.entrypoints.http_links import Distribution
from passferry_pass_issuer.entrypoints.http_work import IssuerApi
from passferry_pass_issuer.entrypoints.worker_signing_queue import (
    FindUnsignedPasses,
    SigningQueue,
    SignWaitingPasses,
)
from passferry_pass_issuer.settings import PassIssuerSettings
from passferry_runtime.auth import AccessDirectory, Authenticator, new_api_key
from passferry_runtime.clock import Clock, SystemClock
from passferry_runtime.crypto import KeyRing, KeyRingInvalid
from passferry_runtime.http import create_app
from passferry_runtime.kafka.consumer import Consumer
from passferry_runtime.kafka.records import Route
from passferry_runtime.kafka.settings import kafka_settings
from passferry_runtime.lifecycle import Check, CheckResult, Service
from passferry_runtime.logging import get_logger
from passferry_runtime.outbox import OutboxRelay
from passferry_runtime.postgres import Database
from passferry_runtime.settings import SettingsInvalid, load_settings

SERVICE = "pass-issuer"
CONSUMER_GROUP = "pass-issuer"
RELAY_TIMEOUT_S = 30.0
RELAY_POLL_S = 0.05

log = get_logger(__name__)

ROUTERS: Sequence[APIRouter] = (
    http_workspaces.router,
    http_workspaces.member_router,
    http_programs.router,
    http_templates.router,
    http_credentials.router,
    http_inbound_secrets.router,
    http_imports.router,
    http_funnel.router,
    # Before the passes, whose routes take every path below a pass.
    http_links.router,
    http_passes.router,
)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The Postgres side, shared by the API and the Kafka handlers."""

    workspaces: PostgresWorkspaces
    api_keys: PostgresApiKeys
    programs: PostgresPrograms
    templates: PostgresTemplates
    catalogue: PostgresCatalogue
    holders: PostgresHolders
    passes: PostgresPasses
    credential_store: PostgresCredentialStore
    credentials: PostgresCredentials

    @classmethod
    def build(cls, cipher: Cipher) -> Stores:
        return cls(
            workspaces=PostgresWorkspaces(),
            api_keys=PostgresApiKeys(),
            programs=PostgresPrograms(),
            templates=PostgresTemplates(),
            catalogue=PostgresCatalogue(),
            holders=PostgresHolders(cipher),
            passes=PostgresPasses(cipher),
            credential_store=PostgresCredentialStore(),
            credentials=PostgresCredentials(cipher),
        )


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is made of settings, or replaced in tests."""

    database: Database
    directory: AccessDirectory
    clock: Clock
    #: Of this service alone.
    cipher: Cipher
    #: Shared with the notifier.
    credentials_cipher: Cipher
    public_base_url: str
    may_name_serial_number: bool
    renderer: RevisionRenderer
    revisions: RevisionWriter
    google_classes: GoogleClasses
    check_asset: Callable[[str, bytes], None]
    identity_checker: IdentityChecker
    service_account_checker: ServiceAccountChecker
    sign_waiting: Callable[[UUID, str], None]
    #: WWDR intermediates that imported passes may be signed under.
    authorities: Sequence[Certificate] = ()


def build_api(around: Surroundings, stores: Stores) -> IssuerApi:
    announce_access = AnnounceAccess(
        workspaces=stores.workspaces, api_keys=stores.api_keys, directory=around.directory
    )
    announce_credentials = AnnounceCredentials(
        workspaces=stores.workspaces,
        store=stores.credential_store,
        credentials=stores.credentials,
        seal=around.credentials_cipher,
    )
    create_template = CreateTemplate(templates=stores.templates)
    store_file = StoreTemplateFile(templates=stores.templates, check_asset=around.check_asset)
    issue_passes = IssuePasses(
        passes=stores.passes,
        holders=stores.holders,
        programs=stores.programs,
        catalogue=stores.catalogue,
        renderer=around.renderer,
        cipher=around.cipher,
        public_base_url=around.public_base_url,
        may_name_serial_number=around.may_name_serial_number,
    )
    return IssuerApi(
        workbench=Workbench(
            transactions=around.database, audit_log=PostgresAudit(), clock=around.clock
        ),
        answers=PostgresIdempotency(around.cipher),
        public_base_url=around.public_base_url,
        workspaces=stores.workspaces,
        api_keys=stores.api_keys,
        programs=stores.programs,
        templates=stores.templates,
        credentials=stores.credential_store,
        passes=stores.passes,
        watch_credentials=WatchCredentials(
            transactions=around.database,
            workspaces=stores.workspaces,
            store=stores.credential_store,
        ),
        create_workspace=CreateWorkspace(
            workspaces=stores.workspaces, announce=announce_access, cipher=around.cipher
        ),
        change_workspace=ChangeWorkspace(workspaces=stores.workspaces, announce=announce_access),
        create_api_key=CreateApiKey(
            workspaces=stores.workspaces,
            api_keys=stores.api_keys,
            announce=announce_access,
            new_key=new_api_key,
        ),
        revoke_api_key=RevokeApiKey(
            workspaces=stores.workspaces, api_keys=stores.api_keys, announce=announce_access
        ),
        create_program=CreateProgram(
            programs=stores.programs, templates=stores.templates, workspaces=stores.workspaces
        ),
        change_program=ChangeProgram(programs=stores.programs, templates=stores.templates),
        create_template=create_template,
        change_template=ChangeTemplate(templates=stores.templates),
        store_template_file=store_file,
        publish_template=PublishTemplate(
            templates=stores.templates,
            google_classes=around.google_classes,
            try_out=_trial(around.renderer, around.public_base_url),
        ),
        upload_signing_identity=UploadSigningIdentity(
            checker=around.identity_checker,
            store=stores.credential_store,
            cipher=around.cipher,
            announce=announce_credentials,
            workspaces=stores.workspaces,
            sign_waiting=around.sign_waiting,
        ),
        upload_google_account=UploadGoogleAccount(
            checker=around.service_account_checker,
            store=stores.credential_store,
            cipher=around.cipher,
            announce=announce_credentials,
            announce_access=announce_access,
            workspaces=stores.workspaces,
        ),
        issue_passes=issue_passes,
        change_fields=ChangeFields(passes=stores.passes, revisions=around.revisions),
        end_pass=EndPass(passes=stores.passes, revisions=around.revisions),
        distribution=_distribution(around, stores),
        imports=_imports(around, stores, create_template, store_file, issue_passes),
        funnel=PostgresFunnel(),
        keep_inbound_secrets=KeepInboundSecrets(secrets=PostgresInboundSecrets(around.cipher)),
    )


def _imports(
    around: Surroundings,
    stores: Stores,
    create_template: CreateTemplate,
    store_file: StoreTemplateFile,
    issue_passes: IssuePasses,
) -> Imports:
    return Imports(
        read=ReadImports(
            open_upload=open_upload,
            signatures=WalletPassSignatures(around.authorities),
            check_asset=around.check_asset,
        ),
        run=ImportPasses(
            store=PostgresImports(),
            credentials=stores.credential_store,
            passes=stores.passes,
            programs=stores.programs,
            catalogue=stores.catalogue,
            create_template=create_template,
            store_file=store_file,
            issue=issue_passes,
            sign_waiting=around.sign_waiting,
        ),
    )


def _distribution(around: Surroundings, stores: Stores) -> Distribution:
    return Distribution(
        links=DistributeLinks(passes=stores.passes, links=PostgresLinks(around.cipher)),
        qr_codes=SegnoQrCodes(),
    )


def _trial(
    renderer: RevisionRenderer, public_base_url: str
) -> Callable[[TemplateVersion, Sequence[TemplateFile]], None]:
    def try_out(version: TemplateVersion, files: Sequence[TemplateFile]) -> None:
        digests = {file.name: file.sha1 for file in files}
        url = f"{public_base_url}/w/{version.workspace_id}"
        renderer.render(example_pass(version, digests, url))

    return try_out


def build_administrator(cipher: Cipher, directory: AccessDirectory) -> CreateAdministrator:
    """What the command `administrator` needs, without the rest of the service."""
    workspaces, api_keys = PostgresWorkspaces(), PostgresApiKeys()
    announce = AnnounceAccess(workspaces=workspaces, api_keys=api_keys, directory=directory)
    return CreateAdministrator(
        workspaces=workspaces,
        create_workspace=CreateWorkspace(workspaces=workspaces, announce=announce, cipher=cipher),
        create_api_key=CreateApiKey(
            workspaces=workspaces, api_keys=api_keys, announce=announce, new_key=new_api_key
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Press:
    """What renders, signs and stores revisions, with the Kafka routes that make it do so."""

    renderer: RevisionRenderer
    revisions: RevisionWriter
    sign_waiting: SignWaitingPasses
    find_unsigned: FindUnsignedPasses
    #: Admission of upstream events issues passes too, so the routes need the API's use cases.
    routes: Callable[[IssuerApi], Sequence[Route]]
    checks: Sequence[Check] = ()


@asynccontextmanager
async def open_press(
    settings: PassIssuerSettings,
    *,
    database: Database,
    directory: AccessDirectory,
    stores: Stores,
    cipher: Cipher,
    clock: Clock,
) -> AsyncIterator[Press]:
    """Closes the signing threads at the end."""
    signer = ThreadSigner(
        threads=settings.signing_threads,
        google_save_base_url=settings.google_save_base_url,
        google_save_origins=settings.google_save_origins,
    )
    store = PostgresRevisions()
    renderer = WalletRenderer()
    revisions = RenderRevisions(
        store=store,
        catalogue=stores.catalogue,
        holders=stores.holders,
        credentials=stores.credentials,
        renderer=renderer,
        signer=signer,
        cipher=cipher,
        clock=clock,
        public_base_url=settings.public_base_url,
    )

    def applying(effect: Effect) -> ApplyEvents:
        return ApplyEvents(
            transactions=database, store=store, revisions=revisions, clock=clock, effect=effect
        )

    def routes(issuer: IssuerApi) -> Sequence[Route]:
        return kafka_routes.routes(
            from_ledger=applying(ledger_effect),
            from_wallets=applying(wallet_effect),
            count=CountFunnel(transactions=database, store=PostgresFunnel()),
            admit=AdmitInbound(
                workbench=issuer.workbench,
                directory=directory,
                store=store,
                revisions=revisions,
                issue=issuer.issue_passes,
                signatures=CheckInboundSignatures(
                    transactions=database, secrets=PostgresInboundSecrets(cipher)
                ),
            ),
        )

    try:
        yield Press(
            renderer=renderer,
            revisions=revisions,
            sign_waiting=SignWaiting(
                transactions=database, store=store, revisions=revisions, clock=clock
            ),
            find_unsigned=FindUnsigned(
                transactions=database,
                workspaces=stores.workspaces,
                credentials=stores.credential_store,
                store=store,
                clock=clock,
            ),
            routes=routes,
        )
    finally:
        signer.close()


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
        queue = SigningQueue(press.sign_waiting, press.find_unsigned)
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
                authorities=authorities,
            ),
            stores,
        )
        relay = OutboxRelay(database, kafka)
        access = directory.reader(kafka)
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
            workers=[consumer.worker, queue.worker, relay.worker, access.worker],
            checks=[
                Check(name="postgres", probe=probe_database),
                access.check,
                consumer.check,
                relay.check,
                CredentialCheck(issuer.watch_credentials, clock).check,
                *press.checks,
            ],
        )


def create_administrator(argv: list[str]) -> int:
    """`administrator --api-key-file PATH`: the first platform administrator's key, in a file.

    A file that is there already is kept, so running it again changes nothing.
    """
    parser = argparse.ArgumentParser(prog="passferry_pass_issuer administrator")
    parser.add_argument("--api-key-file", type=Path, required=True)
    path: Path = parser.parse_args(argv).api_key_file
    if path.exists() and path.stat().st_size > 0:
        return 0
    try:
        asyncio.run(_create_administrator(load_settings(PassIssuerSettings), path))
    except KeyRingInvalid as error:
        raise SettingsInvalid([str(error)]) from error
    return 0


async def _create_administrator(settings: PassIssuerSettings, path: Path) -> None:
    cipher = KeyRing.from_file(settings.key_ring_file, environment=settings.environment)
    clock = SystemClock()
    async with Database.open(
        settings.database_url.get_secret_value(), service=SERVICE, max_size=2
    ) as database:
        workbench = Workbench(transactions=database, audit_log=PostgresAudit(), clock=clock)
        create = build_administrator(cipher, AccessDirectory())
        async with workbench.open([PLATFORM_ID], actor="bootstrap") as work:
            created = await create(work)
        _write_private(path, created.presented)
        await _send_outbox(database, OutboxRelay(database, kafka_settings(settings, SERVICE)))


def _write_private(path: Path, text: str) -> None:
    """Never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")


async def _send_outbox(database: Database, relay: OutboxRelay) -> None:
    """Relay until nothing waits any more; what is left after the bound, the service sends."""
    task = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(RELAY_TIMEOUT_S):
            while await _unsent(database):  # noqa: ASYNC110  # another process may send it
                await asyncio.sleep(RELAY_POLL_S)
    except TimeoutError:
        log.warning("administrator_not_told_yet")
    finally:
        relay.stop()
        await asyncio.wait([task], timeout=RELAY_TIMEOUT_S)
        task.cancel()


async def _unsent(database: Database) -> int:
    async with database.plumbing() as transaction:
        return int(await transaction.fetchval("SELECT count(*) FROM outbox"))
