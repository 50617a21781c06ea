"""Builds .pkpasses from signed passes and the images of their templates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from passferry_pass_issuer.adapters.recently_used import RecentlyUsed
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_wallet.apple.bundle import MAX_PASSES_BYTES, BundleTemplate, build_pkpasses
from passferry_wallet.apple.rejections import PassContentRejected

#: Images of templates that are kept in memory.
MAX_TEMPLATES = 1_000
MAX_TEMPLATE_BYTES = 64_000_000
#: Bundles that are built at once, each within Apple's limit.
MAX_AT_ONCE = 2

FILES = """
SELECT f.name, a.content
FROM template_file f
JOIN template_asset a ON a.workspace_id = f.workspace_id AND a.sha256 = f.sha256
WHERE f.workspace_id = $1 AND f.template_id = $2 AND f.template_version = $3
"""

VersionKey = tuple[UUID, UUID, int]


class WalletBundles:
    def __init__(self) -> None:
        self._templates: RecentlyUsed[VersionKey, BundleTemplate] = RecentlyUsed(
            most=MAX_TEMPLATES, most_bytes=MAX_TEMPLATE_BYTES
        )
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def prepare(
        self, transaction: Transaction, passes: Sequence[WalletPass]
    ) -> Callable[[], Awaitable[bytes]]:
        known = {
            key: await self._template(transaction, key) for key in dict.fromkeys(map(_key, passes))
        }
        templates = [known[_key(each)] for each in passes]
        if sum(template.size for template in templates) > MAX_PASSES_BYTES:
            raise ContentRejected("too_large", "passes", f"are over {MAX_PASSES_BYTES} bytes")

        async def build() -> bytes:
            async with self._slots:
                return await asyncio.to_thread(_built, passes, templates)

        return build

    async def _template(self, transaction: Transaction, key: VersionKey) -> BundleTemplate:
        known = self._templates.get(key)
        if known is not None:
            return known
        rows = await transaction.fetch(FILES, *key)
        template = BundleTemplate({row["name"]: row["content"] for row in rows})
        self._templates.keep(key, template, size=template.size)
        return template


def _key(wallet_pass: WalletPass) -> VersionKey:
    return wallet_pass.workspace_id, wallet_pass.template_id, wallet_pass.template_version


def _built(passes: Sequence[WalletPass], templates: Sequence[BundleTemplate]) -> bytes:
    try:
        return build_pkpasses(
            [
                template.assemble(
                    pass_json=(each.pass_json or "").encode(),
                    manifest=(each.manifest or "").encode(),
                    signature=each.signature or b"",
                )
                for each, template in zip(passes, templates, strict=True)
            ]
        )
    except PassContentRejected as refusal:
        raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal
