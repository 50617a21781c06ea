"""Google classes of template versions, checked against Google's own description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from passferry_pass_issuer.adapters.google_rendering import with_constants
from passferry_pass_issuer.domain.google_ids import class_suffix
from passferry_pass_issuer.domain.google_pieces import class_tree
from passferry_pass_issuer.domain.google_template import GoogleContent, TierContent
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_wallet.google.content import GoogleContentRejected
from passferry_wallet.google.drawing import compile_body
from passferry_wallet.google.objects import as_vertical
from passferry_wallet.google.shapes import Kind, check_body
from passferry_wallet.google.values import resource_id


@dataclass(frozen=True, slots=True)
class WalletGoogleClasses:
    """Google tells of saves and removals at a path of the workspace below `public_base_url`."""

    public_base_url: str

    def class_body(self, version: TemplateVersion) -> Mapping[str, Any] | None:
        google = version.content.google
        if google is None or version.google_issuer_id is None:
            return None
        return self._body(version, google, version.google_issuer_id, None)

    def tier_class_bodies(self, version: TemplateVersion) -> Sequence[Mapping[str, Any]]:
        """One more class for each tier that the template names."""
        google = version.content.google
        if google is None or version.google_issuer_id is None or google.tiers is None:
            return []
        return [
            self._body(version, google, version.google_issuer_id, tier)
            for tier in google.tiers.levels
        ]

    def check_object(self, version: TemplateVersion, body: Mapping[str, Any]) -> None:
        """Of an example: raises ContentRejected for what Google would refuse."""
        check_google_body(version.google_vertical, "Object", body, where="google.object")

    def _body(
        self,
        version: TemplateVersion,
        google: GoogleContent,
        issuer_id: str,
        tier: TierContent | None,
    ) -> Mapping[str, Any]:
        where = "google.class" if tier is None else f"google.tiers.{tier.key}.class"
        vertical = as_vertical(version.google_vertical)
        suffix = class_suffix(version.workspace_id, version.template_id, tier.key if tier else None)
        try:
            draw = compile_body(
                vertical,
                "Class",
                with_constants(class_tree(google, version.google_vertical, tier)),
                reader_of=lambda leaf: None,
                language=google.language,
                where=where,
            )
            body = {
                "id": resource_id(issuer_id, suffix),
                **draw(None),
                "callbackOptions": {
                    "url": f"{self.public_base_url}/w/{version.workspace_id}/google/callback"
                },
            }
        except GoogleContentRejected as refusal:
            raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal
        check_google_body(version.google_vertical, "Class", body, where=where)
        return body


def check_google_body(vertical: str, kind: Kind, body: Mapping[str, Any], *, where: str) -> None:
    """Raises ContentRejected, with the path of the fault in Google's names, for what Google would
    refuse. Done once when a template is published; what changes per pass is checked as it is drawn.
    """
    try:
        check_body(as_vertical(vertical), kind, body)
    except GoogleContentRejected as refusal:
        field = f"{where}.{refusal.field}" if refusal.field else where
        raise ContentRejected(refusal.code, field, refusal.detail) from refusal
