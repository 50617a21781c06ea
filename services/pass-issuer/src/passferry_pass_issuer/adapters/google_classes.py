"""Google classes of template versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from passferry_pass_issuer.domain.google_ids import class_suffix
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_wallet.google.objects import (
    GoogleClassContent,
    GoogleContentRejected,
    build_class,
    vertical_of,
)


@dataclass(frozen=True, slots=True)
class WalletGoogleClasses:
    """Google tells of saves and removals at a path of the workspace below `public_base_url`."""

    public_base_url: str

    def class_body(self, version: TemplateVersion) -> Mapping[str, Any] | None:
        google = version.content.google
        if google is None or version.google_issuer_id is None:
            return None
        content = GoogleClassContent(
            vertical=vertical_of(version.protocol.value),
            issuer_id=version.google_issuer_id,
            class_suffix=class_suffix(version.workspace_id, version.template_id),
            issuer_name=google.issuer_name,
            title=google.title,
            logo_url=google.logo_url,
            hero_image_url=google.hero_image_url,
            hex_background_color=google.hex_background_color,
            callback_url=f"{self.public_base_url}/w/{version.workspace_id}/google/callback",
        )
        try:
            return build_class(content)
        except GoogleContentRejected as refusal:
            field = f"google.{refusal.field}"
            raise ContentRejected(refusal.code, field, refusal.detail) from refusal
