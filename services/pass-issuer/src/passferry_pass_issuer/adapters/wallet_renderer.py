"""Renders with the formats of `passferry_wallet`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from passferry_pass_issuer.adapters.apple_rendering import AppleDrawings
from passferry_pass_issuer.adapters.google_rendering import GoogleDrawings
from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.google_template import GoogleContent
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import Rendering, RenderSubject
from passferry_wallet.apple.bundle import build_manifest, sha1_hex
from passferry_wallet.apple.rejections import PassContentRejected
from passferry_wallet.google.content import GoogleContentRejected

PASS_JSON = "pass.json"  # noqa: S105  # a file name

DrawApple = Callable[[RenderSubject, AppleContent, str], bytes]
DrawGoogle = Callable[[RenderSubject, GoogleContent, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class WalletRenderer:
    drawings: AppleDrawings = field(default_factory=AppleDrawings)
    google: GoogleDrawings = field(default_factory=GoogleDrawings)

    def render(self, subject: RenderSubject) -> Rendering:
        return self._rendering(subject, self.drawings.pass_json, self.google.object_body)

    def render_bare(self, subject: RenderSubject) -> Rendering:
        return self._rendering(subject, self.drawings.bare_pass_json, self.google.bare_object_body)

    def _rendering(
        self, subject: RenderSubject, draw_apple: DrawApple, draw_google: DrawGoogle
    ) -> Rendering:
        try:
            pass_json, manifest = _apple(subject, draw_apple)
            google_object, object_id = _google(subject, draw_google)
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


def _apple(subject: RenderSubject, draw: DrawApple) -> tuple[bytes | None, bytes | None]:
    template = subject.template
    apple = template.content.apple
    if apple is None or template.pass_type_identifier is None:
        return None, None
    pass_json = draw(subject, apple, template.pass_type_identifier)
    return pass_json, build_manifest({**template.asset_sha1, PASS_JSON: sha1_hex(pass_json)})


def _google(
    subject: RenderSubject, draw: DrawGoogle
) -> tuple[Mapping[str, Any] | None, str | None]:
    google, issuer_id = subject.template.content.google, subject.template.google_issuer_id
    if google is None or issuer_id is None:
        return None, None
    body = draw(subject, google, issuer_id)
    return body, str(body["id"])
