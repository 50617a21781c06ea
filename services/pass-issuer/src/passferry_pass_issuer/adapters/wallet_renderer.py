"""Renders with the formats of `passferry_wallet`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from passferry_pass_issuer.adapters.apple_rendering import AppleDrawings
from passferry_pass_issuer.adapters.google_rendering import GoogleDrawings
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import Rendering, RenderSubject
from passferry_wallet.apple.bundle import build_manifest, sha1_hex
from passferry_wallet.apple.rejections import PassContentRejected
from passferry_wallet.google.content import GoogleContentRejected

PASS_JSON = "pass.json"  # noqa: S105  # a file name


@dataclass(frozen=True, slots=True)
class WalletRenderer:
    drawings: AppleDrawings = field(default_factory=AppleDrawings)
    google: GoogleDrawings = field(default_factory=GoogleDrawings)

    def render(self, subject: RenderSubject) -> Rendering:
        try:
            pass_json, manifest = self._apple(subject)
            google_object, object_id = self._google(subject)
        except (PassContentRejected, GoogleContentRejected) as refusal:
            raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal
        seen = hashlib.sha256()
        google = orjson.dumps(google_object, option=orjson.OPT_SORT_KEYS)
        for part in (pass_json or b"", manifest or b"", google):
            seen.update(len(part).to_bytes(4, "big") + part)
        return Rendering(
            pass_json=pass_json.decode() if pass_json is not None else None,
            manifest=manifest.decode() if manifest is not None else None,
            google_object=google_object,
            google_object_id=object_id,
            content_sha256=seen.hexdigest(),
        )

    def _apple(self, subject: RenderSubject) -> tuple[bytes | None, bytes | None]:
        template = subject.template
        apple = template.content.apple
        if apple is None or template.pass_type_identifier is None:
            return None, None
        pass_json = self.drawings.pass_json(subject, apple, template.pass_type_identifier)
        return pass_json, build_manifest({**template.asset_sha1, PASS_JSON: sha1_hex(pass_json)})

    def _google(self, subject: RenderSubject) -> tuple[Mapping[str, Any] | None, str | None]:
        google, issuer_id = subject.template.content.google, subject.template.google_issuer_id
        if google is None or issuer_id is None:
            return None, None
        body = self.google.object_body(subject, google, issuer_id)
        return body, str(body["id"])
