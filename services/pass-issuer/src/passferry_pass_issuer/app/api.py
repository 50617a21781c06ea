"""Builds what the HTTP API does."""

from __future__ import annotations

from passferry_pass_issuer.adapters.postgres_audit import PostgresAudit
from passferry_pass_issuer.adapters.postgres_funnel import PostgresFunnel
from passferry_pass_issuer.adapters.postgres_idempotency import PostgresIdempotency
from passferry_pass_issuer.adapters.postgres_inbound_secrets import PostgresInboundSecrets
from passferry_pass_issuer.adapters.postgres_revisions import PostgresRevisions
from passferry_pass_issuer.adapters.postgres_workspaces import PostgresApiKeys, PostgresWorkspaces
from passferry_pass_issuer.adapters.wallet_bundles import WalletBundles
from passferry_pass_issuer.app.credentials import build_credential_desk
from passferry_pass_issuer.app.distribution import build_distribution, build_imports
from passferry_pass_issuer.app.jobs import build_job_desk
from passferry_pass_issuer.app.life import build_life, build_maker
from passferry_pass_issuer.app.parts import Stores, Surroundings
from passferry_pass_issuer.app.templates import (
    build_brand,
    build_end_counter,
    build_image_store,
    build_linter,
    build_publisher,
)
from passferry_pass_issuer.application.administer_programs import ChangeProgram, CreateProgram
from passferry_pass_issuer.application.administer_workspaces import (
    AnnounceAccess,
    ChangeWorkspace,
    CreateAdministrator,
    CreateApiKey,
    CreateWorkspace,
    RevokeApiKey,
)
from passferry_pass_issuer.application.bundle_passes import BundlePasses
from passferry_pass_issuer.application.change_passes import ChangeFields, EndPass
from passferry_pass_issuer.application.check_inbound_signatures import (
    KeepInboundSecrets,
)
from passferry_pass_issuer.application.edit_templates import (
    ChangeTemplate,
    CreateTemplate,
    StoreTemplateFile,
)
from passferry_pass_issuer.application.issue_passes import IssuePasses
from passferry_pass_issuer.application.ports import (
    Cipher,
)
from passferry_pass_issuer.application.publish_and_roll_out import PublishAndRollOut
from passferry_pass_issuer.application.watch_credentials import WatchCredentials
from passferry_pass_issuer.application.work import Workbench
from passferry_pass_issuer.entrypoints.http_work import IssuerApi
from passferry_runtime.auth import AccessDirectory, new_api_key


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
        make=build_maker(around),
        erased_names=stores.erased_names,
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
            credentials=stores.credentials,
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
        change_program=ChangeProgram(
            programs=stores.programs, templates=stores.templates, start_redraw=desk.start_redraw
        ),
        create_template=create_template,
        change_template=ChangeTemplate(templates=stores.templates),
        store_template_file=store_file,
        publish_template=PublishAndRollOut(
            publish=build_publisher(around, stores), start_rollout=desk.start_rollout
        ),
        lint_template=build_linter(around, stores),
        count_ends=build_end_counter(stores),
        store_template_image=build_image_store(around, stores),
        keep_brand=build_brand(around),
        desk=build_credential_desk(around, stores, announce_access),
        issue_passes=issue,
        change_fields=ChangeFields(passes=stores.passes, revisions=around.revisions),
        end_pass=end_pass,
        life=build_life(around, stores, workbench, issue, end_pass),
        distribution=build_distribution(around, stores),
        imports=build_imports(around, stores, create_template, store_file, issue),
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
