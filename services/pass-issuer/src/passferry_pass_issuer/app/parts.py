"""What everything of this service is built of: its stores, and what surrounds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cryptography.x509 import Certificate

from passferry_pass_issuer.adapters.postgres_credential_store import PostgresCredentialStore
from passferry_pass_issuer.adapters.postgres_credentials import PostgresCredentials
from passferry_pass_issuer.adapters.postgres_erased_names import PostgresErasedNames
from passferry_pass_issuer.adapters.postgres_holders import PostgresHolders
from passferry_pass_issuer.adapters.postgres_job_rows import (
    PostgresJobResults,
    PostgresStagedRows,
)
from passferry_pass_issuer.adapters.postgres_jobs import PostgresJobs
from passferry_pass_issuer.adapters.postgres_lookup_keys import PostgresLookupKeys
from passferry_pass_issuer.adapters.postgres_passes import PostgresPasses
from passferry_pass_issuer.adapters.postgres_programs import PostgresPrograms
from passferry_pass_issuer.adapters.postgres_revisions import PostgresRevisions
from passferry_pass_issuer.adapters.postgres_templates import PostgresCatalogue, PostgresTemplates
from passferry_pass_issuer.adapters.postgres_upkeep import (
    PostgresEndedPasses,
)
from passferry_pass_issuer.adapters.postgres_workspaces import PostgresApiKeys, PostgresWorkspaces
from passferry_pass_issuer.adapters.wallet_identities import (
    check_provider_key,
    make_request,
)
from passferry_pass_issuer.application.credential_ports import (
    IdentityChecker,
    ProviderKeyChecker,
    RequestMaker,
    ServiceAccountChecker,
)
from passferry_pass_issuer.application.google_class_events import GoogleClasses
from passferry_pass_issuer.application.ports import (
    Cipher,
    RevisionRenderer,
    RevisionWriter,
)
from passferry_runtime.auth import AccessDirectory
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database

SERVICE = "pass-issuer"


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
    erased_names: PostgresErasedNames

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
            erased_names=PostgresErasedNames(PostgresLookupKeys(cipher)),
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
    #: What was asked for before an erasure may still be heard for so long.
    erasures_remembered: timedelta = timedelta(days=30)
    wake_jobs: Callable[[], None] = lambda: None
    rollout_max_per_second: int = 200
    #: WWDR intermediates that imported passes may be signed under.
    authorities: Sequence[Certificate] = ()
