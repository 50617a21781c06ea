"""Google classes of template versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_wallet.google.objects import ClassContent, build_class
from passferry_wallet.rejections import PassContentRejected


@dataclass(frozen=True, slots=True)
class WalletGoogleClasses:
    """Google tells of saves and removals at a path of the workspace below `public_base_url`."""

    public_base_url: str

    def class_body(self, version: TemplateVersion) -> Mapping[str, Any] | None:
        google, class_id = version.content.google, version.google_class_id
        if google is None or class_id is None or version.google_issuer_id is None:
            return None
        content = ClassContent(
            issuer_id=version.google_issuer_id,
            class_id=class_id,
            vertical=version.google_vertical,
            issuer_name=google.issuer_name,
            title=google.title,
            logo_url=google.logo_url,
            hero_image_url=google.hero_image_url,
            hex_background_color=google.hex_background_color,
            callback_url=f"{self.public_base_url}/w/{version.workspace_id}/google/callback",
        )
        try:
            return build_class(content)
        except PassContentRejected as refusal:
            raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal
