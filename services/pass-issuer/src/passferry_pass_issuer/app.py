"""Builds the pass-issuer: the one place that knows which adapter serves which port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter

from passferry_pass_issuer.adapters.postgres_audit import PostgresAudit
from passferry_pass_issuer.adapters.postgres_credentials import (
    PostgresCredentials,
    PostgresCredentialStore,
)
from passferry_pass_issuer.adapters.postgres_holders import PostgresHolders
from passferry_pass_issuer.adapters.postgres_idempotency import PostgresIdempotency
from passferry_pass_issuer.adapters.postgres_passes import PostgresPasses
from passferry_pass_issuer.adapters.postgres_programs import PostgresPrograms
from passferry_pass_issuer.adapters.postgres_templates import PostgresCatalogue, PostgresTemplates
from passferry_pass_issuer.adapters.postgres_workspaces import PostgresApiKeys, PostgresWorkspaces
from passferry_pass_issuer.application.administer_programs import ChangeProgram, CreateProgram
from passferry_pass_issuer.application.administer_workspaces import (
    AnnounceAccess,
    ChangeWorkspace,
    CreateAdministrator,
    CreateApiKey,
    CreateWorkspace,
    RevokeApiKey,
)
from passferry_pass_issuer.application.change_passes import ChangeFields, EndPass
from passferry_pass_issuer.application.edit_templates import (
    ChangeTemplate,
    CreateTemplate,
    GoogleClasses,
    PublishTemplate,
    StoreTemplateFile,
    TemplateFile,
)
from passferry_pass_issuer.application.issue_passes import IssuePasses
from passferry_pass_issuer.application.keep_credentials import (
    AnnounceCredentials,
    IdentityChecker,
    ServiceAccountChecker,
    UploadGoogleAccount,
    UploadSigningIdentity,
)
from passferry_pass_issuer.application.ports import Cipher, RevisionRenderer, RevisionWriter
from passferry_pass_issuer.application.watch_credentials import WatchCredentials
from passferry_pass_issuer.application.work import Workbench
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.entrypoints import (
    http_credentials,
    http_passes,
    http_programs,
    http_templates,
    http_workspaces,
)
from passferry_pass_issuer.entrypoints.http_work import IssuerApi
from passferry_runtime.auth import AccessDirectory, new_api_key
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database

ROUTERS: Sequence[APIRouter] = (
    http_workspaces.router,
    http_workspaces.member_router,
    http_programs.router,
    http_templates.router,
    http_credentials.router,
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
        create_template=CreateTemplate(templates=stores.templates),
        change_template=ChangeTemplate(templates=stores.templates),
        store_template_file=StoreTemplateFile(
            templates=stores.templates, check_asset=around.check_asset
        ),
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
        issue_passes=IssuePasses(
            passes=stores.passes,
            holders=stores.holders,
            programs=stores.programs,
            catalogue=stores.catalogue,
            renderer=around.renderer,
            cipher=around.cipher,
            public_base_url=around.public_base_url,
            may_name_serial_number=around.may_name_serial_number,
        ),
        change_fields=ChangeFields(passes=stores.passes, revisions=around.revisions),
        end_pass=EndPass(passes=stores.passes, revisions=around.revisions),
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
