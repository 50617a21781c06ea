"""One large picture becomes the images of a draft, at every density."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from passferry_pass_issuer.application.edit_templates import StoreTemplateFile, TemplateFile
from passferry_pass_issuer.application.work import Work

#: Role, and what reads the picture, to file name and PNG. Raises `ContentRejected`.
ScaleImage = Callable[[str, Callable[[], Awaitable[bytes]]], Awaitable[Mapping[str, bytes]]]


@dataclass(frozen=True, kw_only=True)
class StoreTemplateImage:
    """Scaling takes its time, so it comes before the transaction."""

    scale: ScaleImage
    store_file: StoreTemplateFile

    async def __call__(
        self,
        work: Work,
        workspace_id: UUID,
        template_id: UUID,
        scaled: Mapping[str, bytes],
        *,
        language: str | None,
    ) -> list[TemplateFile]:
        """`scaled` is what `scale` gave; with a `language` the image is for its readers alone."""
        folder = "" if language is None else f"{language}.lproj/"
        return [
            await self.store_file(work, workspace_id, template_id, f"{folder}{name}", content)
            for name, content in scaled.items()
        ]
