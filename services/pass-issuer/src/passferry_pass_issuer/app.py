"""Builds the pass-issuer: the one place that knows which adapter serves which port."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from uuid import UUID, uuid4

from cryptography.x509 import Certificate
from fastapi import APIRouter

from passferry_pass_issuer.adapters.apple_examination import examiner
from passferry_pass_issuer.adapters.google_classes import WalletGoogleClasses
from passferry_pass_issuer.adapters.google_examination import google_examiner
from passferry_pass_issuer.adapters.pass_archives import open_upload
from passferry_pass_issuer.adapters.pass_signatures import WalletPassSignatures
from passferry_pass_issuer.adapters.postgres_audit import PostgresAudit
from passferry_pass_issuer.adapters.postgres_claims import PostgresClaims, PostgresMessages
from passferry_pass_issuer.adapters.postgres_credential_store import PostgresCredentialStore
from passferry_pass_issuer.adapters.postgres_credentials import PostgresCredentials
from passferry_pass_issuer.adapters.postgres_funnel import PostgresFunnel
from passferry_pass_issuer.adapters.postgres_holders import PostgresHolders
from passferry_pass_issuer.adapters.postgres_idempotency import PostgresIdempotency
from passferry_pass_issuer.adapters.postgres_imports import PostgresImports
from passferry_pass_issuer.adapters.postgres_inbound_secrets import PostgresInboundSecrets
from passferry_pass_issuer.adapters.postgres_job_rows import (
    PostgresJobResults,
    PostgresStagedRows,
)
from passferry_pass_issuer.adapters.postgres_jobs import PostgresJobs
from passferry_pass_issuer.adapters.postgres_links import PostgresLinks
from passferry_pass_issuer.adapters.postgres_load import (
    OutboxBacklog,
    PassStatistics,
    StepErrors,
)
from passferry_pass_issuer.adapters.postgres_outdated import PostgresOutdatedPasses
from passferry_pass_issuer.adapters.postgres_owners import PostgresOwners, PostgresReplacements
from passferry_pass_issuer.adapters.postgres_passes import PostgresPasses
from passferry_pass_issuer.adapters.postgres_programs import PostgresPrograms
from passferry_pass_issuer.adapters.postgres_revisions import PostgresRevisions
from passferry_pass_issuer.adapters.postgres_secrets import PostgresSecrets, RingRewrapper
from passferry_pass_issuer.adapters.postgres_templates import PostgresCatalogue, PostgresTemplates
from passferry_pass_issuer.adapters.postgres_upkeep import (
    PostgresEndedPasses,
    PostgresPassesOfHolders,
)
from passferry_pass_issuer.adapters.postgres_workspaces import PostgresApiKeys, PostgresWorkspaces
from passferry_pass_issuer.adapters.segno_qr import SegnoQrCodes
from passferry_pass_issuer.adapters.thread_signer import ThreadSigner
from passferry_pass_issuer.adapters.wallet_bundles import WalletBundles
from passferry_pass_issuer.adapters.wallet_identities import (
    WalletIdentityChecker,
    WalletServiceAccountChecker,
    check_provider_key,
    make_request,
    read_authorities,
)
from passferry_pass_issuer.adapters.wallet_images import (
    ImageScaler,
    check_image,
    strings_files,
)
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.application.accept_bulk import AcceptBulk
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
from passferry_pass_issuer.application.announce_credentials import AnnounceCredentials
from passferry_pass_issuer.application.answer_enrolments import AnswerEnrolments
from passferry_pass_issuer.application.apply_events import (
    ApplyEvents,
    Effect,
    ledger_effect,
    wallet_effect,
)
from passferry_pass_issuer.application.bundle_passes import BundlePasses
from passferry_pass_issuer.application.change_in_bulk import ChangeInBulk
from passferry_pass_issuer.application.change_passes import ChangeFields, EndPass
from passferry_pass_issuer.application.check_inbound_signatures import (
    CheckInboundSignatures,
    KeepInboundSecrets,
)
from passferry_pass_issuer.application.chunk_steps import ChunkSteps, RowWork
from passferry_pass_issuer.application.count_funnel import CountFunnel
from passferry_pass_issuer.application.credential_ports import (
    IdentityChecker,
    ProviderKeyChecker,
    RequestMaker,
    ServiceAccountChecker,
)
from passferry_pass_issuer.application.distribute_links import DistributeLinks
from passferry_pass_issuer.application.draw_holder_passes import DrawHolderPasses
from passferry_pass_issuer.application.edit_templates import (
    ChangeTemplate,
    CreateTemplate,
    PublishTemplate,
    StoreTemplateFile,
    TemplateFile,
)
from passferry_pass_issuer.application.find_unsigned import FindUnsigned
from passferry_pass_issuer.application.google_class_events import GoogleClasses
from passferry_pass_issuer.application.import_passes import ImportPasses
from passferry_pass_issuer.application.issue_in_bulk import IssueInBulk
from passferry_pass_issuer.application.issue_passes import IssuePasses
from passferry_pass_issuer.application.keep_google_accounts import KeepGoogleAccounts
from passferry_pass_issuer.application.keep_holders import EraseHolder, SaveHolder
from passferry_pass_issuer.application.keep_identities import (
    ActivateIdentity,
    CheckUpload,
    StoreIdentity,
)
from passferry_pass_issuer.application.keep_provider_keys import (
    DeleteProviderKey,
    UploadProviderKey,
)
from passferry_pass_issuer.application.keep_time import KeepTime
from passferry_pass_issuer.application.learn_google_inserts import (
    LearnGoogleInserts,
    insert_effect,
)
from passferry_pass_issuer.application.lint_templates import LintTemplate
from passferry_pass_issuer.application.make_passes import MakePasses
from passferry_pass_issuer.application.ports import (
    Cipher,
    ManifestSigner,
    RevisionRenderer,
    RevisionWriter,
)
from passferry_pass_issuer.application.publish_and_roll_out import PublishAndRollOut
from passferry_pass_issuer.application.read_imports import ReadImports
from passferry_pass_issuer.application.reissue_passes import CompleteReissues, ReissuePass
from passferry_pass_issuer.application.render_revisions import RenderRevisions, SignWaiting
from passferry_pass_issuer.application.report_expiry import ReportExpiry
from passferry_pass_issuer.application.request_certificates import (
    CompleteSigningRequest,
    CreateSigningRequest,
    DeleteSigningRequest,
)
from passferry_pass_issuer.application.rewrap_secrets import RewrapReport, RewrapSecrets
from passferry_pass_issuer.application.roll_out import RollOut, StartRollout
from passferry_pass_issuer.application.run_jobs import RunJobs
from passferry_pass_issuer.application.send_messages import (
    ApplyMessageRequests,
    PutMessages,
    SendClassMessage,
    SendMessage,
)
from passferry_pass_issuer.application.steer_jobs import SteerJob
from passferry_pass_issuer.application.template_images import StoreTemplateImage
from passferry_pass_issuer.application.transfer_passes import TransferPass
from passferry_pass_issuer.application.watch_credentials import WatchCredentials
from passferry_pass_issuer.application.work import Workbench
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.jobs import JobKind
from passferry_pass_issuer.domain.linting import LintFinding
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.workspace import PLATFORM_ID
from passferry_pass_issuer.entrypoints import (
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
    http_rollouts,
    http_template_checks,
    http_templates,
    http_workspaces,
    kafka_life_routes,
    kafka_routes,
)
from passferry_pass_issuer.entrypoints.check_credentials import CredentialCheck
from passferry_pass_issuer.entrypoints.credential_desk import CredentialDesk
from passferry_pass_issuer.entrypoints.http_imports import Imports
from passferry_pass_issuer.entrypoints.http_links import Distribution
from passferry_pass_issuer.entrypoints.http_work import IssuerApi
from passferry_pass_issuer.entrypoints.job_desk import JobDesk
from passferry_pass_issuer.entrypoints.pass_life import PassLife
from passferry_pass_issuer.entrypoints.worker_expiry import INTERVAL_S, show_days_left
from passferry_pass_issuer.entrypoints.worker_jobs import JobWorker
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
from passferry_runtime.rounds import Rounds
from passferry_runtime.settings import SettingsInvalid, load_settings
from passferry_runtime.turn import Turn

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
    http_template_checks.router,
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
    http_rollouts.router,
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
    ended: PostgresEndedPasses
    revisions: PostgresRevisions
    credential_store: PostgresCredentialStore
    credentials: PostgresCredentials
    jobs: PostgresJobs
    staged_rows: PostgresStagedRows
    job_results: PostgresJobResults

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
            ended=PostgresEndedPasses(),
            revisions=PostgresRevisions(),
            credential_store=PostgresCredentialStore(),
            credentials=PostgresCredentials(cipher),
            jobs=PostgresJobs(),
            staged_rows=PostgresStagedRows(cipher),
            job_results=PostgresJobResults(cipher),
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
    check_provider_key: ProviderKeyChecker = check_provider_key
    make_request: RequestMaker = make_request
    sign_waiting: Callable[[UUID, str], None]
    #: How long phones have to fetch the last revision of a deleted pass.
    forget_after: timedelta = timedelta(days=1)
    wake_jobs: Callable[[], None] = lambda: None
    rollout_max_per_second: int = 200
    #: WWDR intermediates that imported passes may be signed under.
    authorities: Sequence[Certificate] = ()


def build_api(around: Surroundings, stores: Stores) -> IssuerApi:
    announce_access = AnnounceAccess(
        workspaces=stores.workspaces, api_keys=stores.api_keys, directory=around.directory
    )
    desk = build_job_desk(around, stores)
    workbench = Workbench(
        transactions=around.database, audit_log=PostgresAudit(), clock=around.clock
    )
    end_pass = EndPass(
        passes=stores.passes,
        revisions=around.revisions,
        ended=stores.ended,
        forget_after=around.forget_after,
    )
    issue = IssuePasses(
        passes=stores.passes,
        holders=stores.holders,
        programs=stores.programs,
        catalogue=stores.catalogue,
        make=_maker(around),
        may_name_serial_number=around.may_name_serial_number,
    )
    create_template = CreateTemplate(templates=stores.templates)
    store_file = StoreTemplateFile(templates=stores.templates, check_asset=around.check_asset)
    return IssuerApi(
        workbench=workbench,
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
        publish_template=PublishAndRollOut(
            publish=PublishTemplate(
                templates=stores.templates,
                google_classes=around.google_classes,
                try_out=_trial(around.renderer, around.google_classes, around.public_base_url),
                lint=_linter(around, stores),
                strings_files=strings_files,
            ),
            start_rollout=desk.start_rollout,
        ),
        lint_template=_linter(around, stores),
        store_template_image=_image_store(around, stores),
        desk=_credential_desk(around, stores, announce_access),
        issue_passes=issue,
        change_fields=ChangeFields(passes=stores.passes, revisions=around.revisions),
        end_pass=end_pass,
        life=build_life(around, stores, workbench, issue, end_pass),
        distribution=_distribution(around, stores),
        imports=_imports(around, stores, create_template, store_file, issue),
        funnel=PostgresFunnel(),
        keep_inbound_secrets=KeepInboundSecrets(secrets=PostgresInboundSecrets(around.cipher)),
        jobs=desk,
        bundle_passes=BundlePasses(
            passes=stores.passes,
            locks=PostgresRevisions(),
            revisions=around.revisions,
            bundles=WalletBundles(),
        ),
    )


def _announce_credentials(around: Surroundings, stores: Stores) -> AnnounceCredentials:
    return AnnounceCredentials(
        workspaces=stores.workspaces,
        credentials=stores.credentials,
        seal=around.credentials_cipher,
    )


def _credential_desk(
    around: Surroundings, stores: Stores, announce_access: AnnounceAccess
) -> CredentialDesk:
    store, cipher, workspaces = stores.credential_store, around.cipher, stores.workspaces
    announce = _announce_credentials(around, stores)
    store_identity = StoreIdentity(
        store=store,
        cipher=cipher,
        announce=announce,
        workspaces=workspaces,
        sign_waiting=around.sign_waiting,
    )
    return CredentialDesk(
        check_upload=CheckUpload(checker=around.identity_checker),
        store_identity=store_identity,
        activate_identity=ActivateIdentity(
            store=store, workspaces=workspaces, store_identity=store_identity
        ),
        create_signing_request=CreateSigningRequest(
            make=around.make_request, store=store, cipher=cipher, workspaces=workspaces
        ),
        complete_signing_request=CompleteSigningRequest(
            store=store,
            cipher=cipher,
            checker=around.identity_checker,
            store_identity=store_identity,
        ),
        delete_signing_request=DeleteSigningRequest(store=store),
        upload_provider_key=UploadProviderKey(
            check=around.check_provider_key,
            store=store,
            cipher=cipher,
            announce=announce,
            workspaces=workspaces,
        ),
        delete_provider_key=DeleteProviderKey(
            store=store, announce=announce, workspaces=workspaces
        ),
        google_accounts=KeepGoogleAccounts(
            checker=around.service_account_checker,
            store=store,
            cipher=cipher,
            announce=announce,
            announce_access=announce_access,
            workspaces=workspaces,
        ),
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


def expiry_rounds(database: Database, stores: Stores, clock: Clock) -> Rounds:
    """Certificates that end are told by one replica at a time."""
    report = ReportExpiry(
        transactions=database,
        workspaces=stores.workspaces,
        store=stores.credential_store,
        clock=clock,
        show=show_days_left,
    )
    return Rounds(
        "expiry",
        report,
        interval_s=INTERVAL_S,
        turn=Turn(database, "expiry"),
        # What this replica showed in a turn that it lost is another's to show.
        otherwise=lambda: show_days_left([]),
    )


def _distribution(around: Surroundings, stores: Stores) -> Distribution:
    return Distribution(
        links=DistributeLinks(passes=stores.passes, links=PostgresLinks(around.cipher)),
        qr_codes=SegnoQrCodes(),
    )


def _linter(around: Surroundings, stores: Stores) -> LintTemplate:
    return LintTemplate(
        templates=stores.templates,
        identities=stores.credential_store,
        examine=_examiner(around.public_base_url),
    )


def _examiner(
    public_base_url: str,
) -> Callable[[TemplateVersion, Sequence[TemplateFile]], list[LintFinding]]:
    apple, google = examiner(public_base_url), google_examiner(public_base_url)

    def examine(version: TemplateVersion, files: Sequence[TemplateFile]) -> list[LintFinding]:
        found = apple(version, files)
        known = {finding.path for finding in found}
        return [*found, *(each for each in google(version, files) if each.path not in known)]

    return examine


def _image_store(around: Surroundings, stores: Stores) -> StoreTemplateImage:
    return StoreTemplateImage(
        scale=ImageScaler(),
        store_file=StoreTemplateFile(templates=stores.templates, check_asset=around.check_asset),
    )


def build_job_desk(around: Surroundings, stores: Stores) -> JobDesk:
    return JobDesk(
        jobs=stores.jobs,
        results=stores.job_results,
        accept=AcceptBulk(
            jobs=stores.jobs,
            rows=stores.staged_rows,
            results=stores.job_results,
            programs=stores.programs,
            wake=around.wake_jobs,
        ),
        start_rollout=StartRollout(
            jobs=stores.jobs,
            catalogue=stores.catalogue,
            wake=around.wake_jobs,
            default_per_second=around.rollout_max_per_second,
        ),
        steer=SteerJob(jobs=stores.jobs, wake=around.wake_jobs),
    )


def build_job_runner(
    database: Database,
    stores: Stores,
    *,
    issuer: IssuerApi,
    press: Press,
    directory: AccessDirectory,
    results_kept_days: int,
) -> RunJobs:
    """The side of background work that does it."""

    def chunks(apply: RowWork) -> ChunkSteps:
        return ChunkSteps(
            workbench=issuer.workbench,
            rows=stores.staged_rows,
            results=stores.job_results,
            apply=apply,
        )

    return RunJobs(
        workbench=issuer.workbench,
        jobs=stores.jobs,
        rows=stores.staged_rows,
        results=stores.job_results,
        steps={
            JobKind.BULK_ISSUE: chunks(
                IssueInBulk(programs=stores.programs, issue=issuer.issue_passes)
            ),
            JobKind.BULK_CHANGE: chunks(
                ChangeInBulk(
                    named=press.store,
                    change_fields=issuer.change_fields,
                    end_pass=issuer.end_pass,
                    send_message=issuer.life.send_message,
                )
            ),
            JobKind.ROLLOUT: RollOut(
                jobs=stores.jobs,
                results=stores.job_results,
                outdated=PostgresOutdatedPasses(),
                locked=press.store,
                revisions=press.revisions,
                passes=stores.passes,
                catalogue=stores.catalogue,
            ),
        },
        is_suspended=directory.is_suspended,
        backlog=OutboxBacklog(database),
        statistics=PassStatistics(database),
        errors=StepErrors(),
        replica_id=uuid4(),
        results_kept=timedelta(days=results_kept_days),
    )


def build_life(
    around: Surroundings,
    stores: Stores,
    workbench: Workbench,
    issue: IssuePasses,
    end_pass: EndPass,
) -> PassLife:
    """Holders, and what becomes of passes after they were issued."""
    answers = PostgresIdempotency(around.cipher)
    claims, messages = PostgresClaims(), PostgresMessages()
    replacements = PostgresReplacements()
    put = PutMessages(messages=messages, revisions=around.revisions)
    holder_pages = PostgresPassesOfHolders()
    draw = DrawHolderPasses(
        passes=holder_pages,
        ended=stores.ended,
        answers=answers,
        store=stores.revisions,
        revisions=around.revisions,
        forget_after=around.forget_after,
    )
    return PassLife(
        holders=stores.holders,
        save_holder=SaveHolder(passes=stores.passes, holders=stores.holders, draw=draw),
        erase_holder=EraseHolder(
            passes=stores.passes, holders=stores.holders, answers=answers, draw=draw
        ),
        send_message=SendMessage(passes=stores.passes, put=put),
        send_class_message=SendClassMessage(catalogue=stores.catalogue, messages=messages),
        transfer_pass=TransferPass(
            passes=stores.passes,
            holders=stores.holders,
            owners=PostgresOwners(around.cipher),
            revisions=around.revisions,
            cipher=around.cipher,
        ),
        reissue_pass=ReissuePass(
            passes=stores.passes,
            holders=stores.holders,
            programs=stores.programs,
            catalogue=stores.catalogue,
            make=_maker(around),
            replacements=replacements,
        ),
        apply_message_requests=ApplyMessageRequests(
            workbench=workbench, directory=around.directory, store=stores.revisions, put=put
        ),
        answer_enrolments=AnswerEnrolments(
            workbench=workbench,
            directory=around.directory,
            passes=stores.passes,
            holders=stores.holders,
            issue=issue,
            claims=claims,
        ),
        complete_reissues=CompleteReissues(
            workbench=workbench,
            passes=stores.passes,
            replacements=replacements,
            end_pass=end_pass,
        ),
        keep_time=KeepTime(
            workbench=workbench,
            workspaces=stores.workspaces,
            transactions=around.database,
            store=stores.revisions,
            revisions=around.revisions,
            ended=stores.ended,
            holder_pages=holder_pages,
            draw=draw,
            claims=claims,
            messages=messages,
        ),
    )


def _maker(around: Surroundings) -> MakePasses:
    return MakePasses(
        renderer=around.renderer, cipher=around.cipher, public_base_url=around.public_base_url
    )


def _trial(
    renderer: RevisionRenderer, google_classes: GoogleClasses, public_base_url: str
) -> Callable[[TemplateVersion, Sequence[TemplateFile]], None]:
    def try_out(version: TemplateVersion, files: Sequence[TemplateFile]) -> None:
        digests = {file.name: file.sha1 for file in files}
        url = f"{public_base_url}/w/{version.workspace_id}"
        drawn = renderer.render(example_pass(version, digests, url))
        if drawn.google_object is not None:
            google_classes.check_object(version, drawn.google_object)

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
    store: PostgresRevisions
    revisions: RenderRevisions
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
    manifest_signer: ManifestSigner | None = None,
) -> AsyncIterator[Press]:
    """Closes the signing threads at the end. With a `manifest_signer` passes are signed there."""
    signer = ThreadSigner(
        threads=settings.signing_threads,
        google_save_base_url=settings.google_save_base_url,
        google_save_origins=settings.google_save_origins,
    )
    store = stores.revisions
    renderer = WalletRenderer()
    revisions = RenderRevisions(
        store=store,
        catalogue=stores.catalogue,
        holders=stores.holders,
        credentials=stores.credentials,
        renderer=renderer,
        manifest_signer=manifest_signer or signer,
        save_link_signer=signer,
        cipher=cipher,
        clock=clock,
        public_base_url=settings.public_base_url,
    )

    def applying(effect: Effect) -> ApplyEvents:
        return ApplyEvents(
            transactions=database, store=store, revisions=revisions, clock=clock, effect=effect
        )

    def routes(issuer: IssuerApi) -> Sequence[Route]:
        of_life = kafka_life_routes.routes(issuer.life)
        return of_life + kafka_routes.routes(
            from_ledger=applying(ledger_effect),
            from_wallets=applying(wallet_effect),
            count=CountFunnel(transactions=database, store=PostgresFunnel()),
            from_notifier=LearnGoogleInserts(
                transactions=database, store=store, apply=applying(insert_effect)
            ),
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
            store=store,
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


def rewrap_secrets(argv: list[str]) -> int:
    """`rewrap-secrets [--credentials]`: every secret under the ring's active key.

    1 when there are secrets that no key of the ring opens.
    """
    parser = argparse.ArgumentParser(prog="passferry_pass_issuer rewrap-secrets")
    parser.add_argument(
        "--credentials", action="store_true", help="seal those of the notifier anew as well"
    )
    also_credentials = parser.parse_args(argv).credentials
    try:
        report = asyncio.run(_rewrap(load_settings(PassIssuerSettings), also_credentials))
    except KeyRingInvalid as error:
        raise SettingsInvalid([str(error)]) from error
    print(  # noqa: T201  # a command's answer
        json.dumps(
            {
                "workspaces": report.workspaces,
                "rewrapped": dict(report.rewrapped),
                "unopened": dict(report.unopened),
            }
        )
    )
    return 1 if report.unopened else 0


async def _rewrap(settings: PassIssuerSettings, also_credentials: bool) -> RewrapReport:
    own = KeyRing.from_file(settings.key_ring_file, environment=settings.environment)
    shared = KeyRing.from_file(settings.credentials_key_ring_file, environment=settings.environment)
    async with Database.open(
        settings.database_url.get_secret_value(), service=SERVICE, max_size=2
    ) as database:
        rewrap = build_rewrap(database, own, shared if also_credentials else None, SystemClock())
        report = await rewrap()
        if also_credentials:
            await _send_outbox(database, OutboxRelay(database, kafka_settings(settings, SERVICE)))
        return report


def build_rewrap(
    database: Database, own: KeyRing, shared: KeyRing | None, clock: Clock
) -> RewrapSecrets:
    workspaces = PostgresWorkspaces()
    announce = None
    if shared is not None:
        credentials = PostgresCredentials(own)
        announce = AnnounceCredentials(workspaces=workspaces, credentials=credentials, seal=shared)
    return RewrapSecrets(
        workbench=Workbench(transactions=database, audit_log=PostgresAudit(), clock=clock),
        workspaces=workspaces,
        store=PostgresSecrets(),
        ring=RingRewrapper(own),
        announce=announce,
    )


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
