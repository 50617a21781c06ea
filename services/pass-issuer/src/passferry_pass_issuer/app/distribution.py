"""Builds links and imports: how passes reach people, and how they come from elsewhere."""

from __future__ import annotations

from passferry_pass_issuer.adapters.pass_archives import open_upload
from passferry_pass_issuer.adapters.pass_signatures import WalletPassSignatures
from passferry_pass_issuer.adapters.postgres_imports import PostgresImports
from passferry_pass_issuer.adapters.postgres_links import PostgresLinks
from passferry_pass_issuer.adapters.wallet_qr_codes import WalletQrCodes
from passferry_pass_issuer.app.parts import Stores, Surroundings
from passferry_pass_issuer.application.distribute_links import DistributeLinks
from passferry_pass_issuer.application.edit_templates import (
    CreateTemplate,
    StoreTemplateFile,
)
from passferry_pass_issuer.application.import_passes import ImportPasses
from passferry_pass_issuer.application.issue_passes import IssuePasses
from passferry_pass_issuer.application.read_imports import ReadImports
from passferry_pass_issuer.entrypoints.http_imports import Imports
from passferry_pass_issuer.entrypoints.http_links import Distribution


def build_distribution(around: Surroundings, stores: Stores) -> Distribution:
    return Distribution(
        links=DistributeLinks(passes=stores.passes, links=PostgresLinks(around.cipher)),
        qr_codes=WalletQrCodes(),
    )


def build_imports(
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
