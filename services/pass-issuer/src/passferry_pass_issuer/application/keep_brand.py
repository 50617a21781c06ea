"""The brand of a workspace, and what drafts of its templates take of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.edit_templates import (
    TemplateFile,
    check_template_file,
    template_file,
)
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.brand import (
    Brand,
    changed_paths,
    image_path,
    role_of,
    roles_taken,
    with_brand,
)
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_runtime.errors import NotFound

#: Told after a change: templates that were published with what was before.
MAX_TEMPLATES_TOLD = 200


class Brands(Protocol):
    async def lock(
        self, transaction: Transaction, workspace_id: UUID, at: datetime
    ) -> Brand | None:
        """An empty one where there was none; None where there is no such workspace."""

    async def hold(self, transaction: Transaction, workspace_id: UUID) -> None:
        """Nobody changes it before this transaction ends."""

    async def read(self, transaction: Transaction, workspace_id: UUID) -> Brand: ...

    async def update(
        self, transaction: Transaction, workspace_id: UUID, brand: Brand, at: datetime
    ) -> None: ...

    async def images(self, transaction: Transaction, workspace_id: UUID) -> list[TemplateFile]:
        """By name."""

    async def put_image(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        file: TemplateFile,
        content: bytes,
        at: datetime,
    ) -> None: ...

    async def remove_images(
        self, transaction: Transaction, workspace_id: UUID, role: str
    ) -> list[str]:
        """The names of what was there."""

    async def give_images(
        self, transaction: Transaction, version: TemplateVersion, roles: Collection[str]
    ) -> None:
        """Make them files of the version."""

    async def takers(
        self, transaction: Transaction, workspace_id: UUID, paths: Sequence[str], limit: int
    ) -> list[UUID]:
        """Templates whose newest published version took one of `paths`."""


@dataclass(frozen=True, kw_only=True)
class KeepBrand:
    """Each change tells the templates that show what was before, until they are published again."""

    brands: Brands
    check_asset: Callable[[str, bytes], None]

    async def change(self, work: Work, workspace_id: UUID, brand: Brand) -> list[UUID]:
        before = await self._locked(work, workspace_id)
        if brand == before:
            return []
        await self.brands.update(work.transaction, workspace_id, brand, work.now)
        await work.audit(
            workspace_id, "brand.changed", workspace_id, before=asdict(before), after=asdict(brand)
        )
        return await self._takers(work, workspace_id, changed_paths(before, brand))

    async def store_image(
        self, work: Work, workspace_id: UUID, role: str, scaled: Mapping[str, bytes]
    ) -> tuple[list[TemplateFile], list[UUID]]:
        await self._locked(work, workspace_id)
        for name, content in scaled.items():
            check_template_file(self.check_asset, name, content)
        files = [template_file(name, content) for name, content in scaled.items()]
        after = {file.name: file.sha256 for file in files}
        before = await self.brands.images(work.transaction, workspace_id)
        if {each.name: each.sha256 for each in before if role_of(each.name) == role} == after:
            return files, []
        await self.brands.remove_images(work.transaction, workspace_id, role)
        for file in files:
            await self.brands.put_image(
                work.transaction, workspace_id, file, scaled[file.name], work.now
            )
        await work.audit(workspace_id, "brand.image_stored", role, after=after)
        return files, await self._takers(work, workspace_id, [image_path(role)])

    async def remove_image(self, work: Work, workspace_id: UUID, role: str) -> list[UUID]:
        await self._locked(work, workspace_id)
        if not await self.brands.remove_images(work.transaction, workspace_id, role):
            raise NotFound("brand_image_not_found", "the brand has no image of this role")
        await work.audit(workspace_id, "brand.image_removed", role)
        return await self._takers(work, workspace_id, [image_path(role)])

    async def _locked(self, work: Work, workspace_id: UUID) -> Brand:
        brand = await self.brands.lock(work.transaction, workspace_id, work.now)
        if brand is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        return brand

    async def _takers(self, work: Work, workspace_id: UUID, paths: Sequence[str]) -> list[UUID]:
        return await self.brands.takers(work.transaction, workspace_id, paths, MAX_TEMPLATES_TOLD)


@dataclass(frozen=True, kw_only=True)
class TakeBrand:
    """Decided once for a version, so that a published one stays what it was."""

    brands: Brands

    async def look(
        self, work: Work, draft: TemplateVersion, files: Sequence[TemplateFile]
    ) -> tuple[TemplateVersion, list[TemplateFile]]:
        """The draft and its files as they would be published now."""
        brand = await self.brands.read(work.transaction, draft.workspace_id)
        images = await self.brands.images(work.transaction, draft.workspace_id)
        content, taken = with_brand(draft.raw_content, brand)
        roles = _roles_taken(draft, files, images)
        given = [image for image in images if role_of(image.name) in roles]
        filled = replace(
            draft,
            raw_content=content,
            content=parse_template_content(content),
            from_brand=(*taken, *(image_path(role) for role in sorted(roles))),
        )
        return filled, sorted([*files, *given], key=lambda file: file.name)

    async def take(
        self, work: Work, draft: TemplateVersion, files: Sequence[TemplateFile]
    ) -> tuple[TemplateVersion, list[TemplateFile]]:
        """As `look`, and the images become files of the draft."""
        # Whoever changes the brand after this finds the version among its takers.
        await self.brands.hold(work.transaction, draft.workspace_id)
        filled, all_files = await self.look(work, draft, files)
        own = {file.name for file in files}
        roles = {role_of(file.name) for file in all_files if file.name not in own}
        await self.brands.give_images(work.transaction, filled, roles)
        return filled, all_files


def _roles_taken(
    draft: TemplateVersion, files: Sequence[TemplateFile], images: Sequence[TemplateFile]
) -> set[str]:
    apple = draft.content.apple
    if not draft.is_for_apple or apple is None:
        return set()
    return roles_taken(
        apple.style,
        apple.preferred_style_schemes,
        own={role_of(file.name) for file in files},
        offered={role_of(image.name) for image in images},
    )
