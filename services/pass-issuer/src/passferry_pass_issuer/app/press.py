"""Builds what draws, signs and hears events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from passferry_pass_issuer.adapters.postgres_funnel import PostgresFunnel
from passferry_pass_issuer.adapters.postgres_inbound_secrets import PostgresInboundSecrets
from passferry_pass_issuer.adapters.postgres_revisions import PostgresRevisions
from passferry_pass_issuer.adapters.postgres_upkeep import PostgresEndedPasses
from passferry_pass_issuer.adapters.process_signer import ProcessSigner
from passferry_pass_issuer.adapters.signing_processes import SigningProcesses
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.app.parts import Stores
from passferry_pass_issuer.application.admit_inbound import AdmitInbound
from passferry_pass_issuer.application.apply_events import (
    ApplyEvents,
    Effect,
    ledger_effect,
    wallet_effect,
)
from passferry_pass_issuer.application.check_inbound_signatures import (
    CheckInboundSignatures,
)
from passferry_pass_issuer.application.count_funnel import CountFunnel
from passferry_pass_issuer.application.find_unsigned import FindUnsigned
from passferry_pass_issuer.application.learn_google_inserts import (
    LearnGoogleInserts,
    insert_effect,
)
from passferry_pass_issuer.application.make_subjects import MakeSubjects
from passferry_pass_issuer.application.ports import (
    Cipher,
    ManifestSigner,
    RevisionRenderer,
)
from passferry_pass_issuer.application.render_revisions import RenderRevisions
from passferry_pass_issuer.application.sign_waiting import SignWaiting
from passferry_pass_issuer.entrypoints import (
    kafka_life_routes,
    kafka_routes,
)
from passferry_pass_issuer.entrypoints.check_signing import signing_check
from passferry_pass_issuer.entrypoints.http_work import IssuerApi
from passferry_pass_issuer.entrypoints.worker_signing_queue import (
    FindUnsignedPasses,
    SignWaitingPasses,
)
from passferry_pass_issuer.settings import PassIssuerSettings
from passferry_runtime.auth import AccessDirectory
from passferry_runtime.clock import Clock
from passferry_runtime.kafka.records import Route
from passferry_runtime.lifecycle import Check
from passferry_runtime.postgres import Database

CONSUMER_GROUP = "pass-issuer"


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
    #: Otherwise the first signature starts it.
    start_signing: Callable[[], Awaitable[None]]
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
    """Ends the signing processes at the end. With a `manifest_signer` passes are signed there."""
    signing = SigningProcesses(settings.signing_processes)
    signer = ProcessSigner(
        signing,
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
        subject_of=MakeSubjects(cipher=cipher, public_base_url=settings.public_base_url),
        clock=clock,
    )

    def applying(effect: Effect) -> ApplyEvents:
        return ApplyEvents(
            transactions=database,
            store=store,
            ended=PostgresEndedPasses(),
            revisions=revisions,
            clock=clock,
            effect=effect,
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
                ended=PostgresEndedPasses(),
                issue=issuer.issue_passes,
                signatures=CheckInboundSignatures(
                    transactions=database, secrets=PostgresInboundSecrets(cipher)
                ),
                erased_names=stores.erased_names,
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
            start_signing=signing.start,
            checks=(signing_check(lambda: signing.faults),),
        )
    finally:
        await signing.close()
