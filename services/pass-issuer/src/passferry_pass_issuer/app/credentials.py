"""Builds what keeps signing identities, push keys and Google's accounts."""

from __future__ import annotations

from passferry_pass_issuer.adapters.postgres_audit import PostgresAudit
from passferry_pass_issuer.adapters.postgres_credentials import PostgresCredentials
from passferry_pass_issuer.adapters.postgres_load import StepErrors
from passferry_pass_issuer.adapters.postgres_new_lookups import (
    PostgresLookupKeyRows,
    PostgresNewLookups,
    RingOfLostSecrets,
)
from passferry_pass_issuer.adapters.postgres_secrets import PostgresSecrets, RingRewrapper
from passferry_pass_issuer.adapters.postgres_workspaces import PostgresWorkspaces
from passferry_pass_issuer.app.parts import Stores, Surroundings
from passferry_pass_issuer.application.administer_workspaces import (
    AnnounceAccess,
)
from passferry_pass_issuer.application.announce_credentials import AnnounceCredentials
from passferry_pass_issuer.application.keep_google_accounts import KeepGoogleAccounts
from passferry_pass_issuer.application.keep_identities import (
    ActivateIdentity,
    CheckUpload,
    DeleteIdentity,
    StoreIdentity,
)
from passferry_pass_issuer.application.keep_provider_keys import (
    DeleteProviderKey,
    UploadProviderKey,
)
from passferry_pass_issuer.application.repeated_work import RepeatedWork
from passferry_pass_issuer.application.replace_lookup_key import ACTOR as NEW_LOOKUP_KEY_ACTOR
from passferry_pass_issuer.application.replace_lookup_key import ReplaceLookupKey
from passferry_pass_issuer.application.report_expiry import ReportExpiry
from passferry_pass_issuer.application.request_certificates import (
    CompleteSigningRequest,
    CreateSigningRequest,
    DeleteSigningRequest,
)
from passferry_pass_issuer.application.rewrap_secrets import ACTOR as REWRAP_ACTOR
from passferry_pass_issuer.application.rewrap_secrets import RewrapSecrets
from passferry_pass_issuer.application.work import Workbench
from passferry_pass_issuer.entrypoints.credential_desk import CredentialDesk
from passferry_pass_issuer.entrypoints.worker_expiry import INTERVAL_S, show_days_left
from passferry_runtime.clock import Clock
from passferry_runtime.crypto import KeyRing
from passferry_runtime.postgres import Database
from passferry_runtime.rounds import Rounds
from passferry_runtime.turn import Turn


def build_announcer(around: Surroundings, stores: Stores) -> AnnounceCredentials:
    return AnnounceCredentials(
        workspaces=stores.workspaces,
        credentials=stores.credentials,
        seal=around.credentials_cipher,
    )


def build_credential_desk(
    around: Surroundings, stores: Stores, announce_access: AnnounceAccess
) -> CredentialDesk:
    store, cipher, workspaces = stores.credential_store, around.cipher, stores.workspaces
    announce = build_announcer(around, stores)
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
        delete_identity=DeleteIdentity(store=store, workspaces=workspaces),
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


def build_rewrap(
    database: Database, own: KeyRing, shared: KeyRing | None, clock: Clock
) -> RewrapSecrets:
    workspaces = PostgresWorkspaces()
    announce = None
    if shared is not None:
        credentials = PostgresCredentials(own)
        announce = AnnounceCredentials(workspaces=workspaces, credentials=credentials, seal=shared)
    return RewrapSecrets(
        repeated=_repeated(database, clock, actor=REWRAP_ACTOR),
        workspaces=workspaces,
        store=PostgresSecrets(),
        ring=RingRewrapper(own),
        announce=announce,
    )


def build_new_lookup_key(database: Database, own: KeyRing, clock: Clock) -> ReplaceLookupKey:
    return ReplaceLookupKey(
        repeated=_repeated(database, clock, actor=NEW_LOOKUP_KEY_ACTOR),
        rows=PostgresLookupKeyRows(),
        ring=RingOfLostSecrets(own),
        cipher=own,
        lookups_under=lambda key: PostgresNewLookups(own, key),
        turn_of=lambda workspace_id: Turn(database, f"new-lookup-key:{workspace_id}"),
    )


def _repeated(database: Database, clock: Clock, *, actor: str) -> RepeatedWork:
    workbench = Workbench(transactions=database, audit_log=PostgresAudit(), clock=clock)
    return RepeatedWork(workbench=workbench, errors=StepErrors(), actor=actor)
