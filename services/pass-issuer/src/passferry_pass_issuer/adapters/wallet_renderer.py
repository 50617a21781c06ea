"""Renders with the formats of `passferry_wallet`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from passferry_pass_issuer.adapters.apple_rendering import AppleDrawings
from passferry_pass_issuer.adapters.google_rendering import GoogleDrawings
from passferry_pass_issuer.domain.google_template import GoogleContent
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import Rendering, RenderSubject
from passferry_wallet.apple.json_frame import encoded
from passferry_wallet.apple.rejections import PassContentRejected
from passferry_wallet.google.content import GoogleContentRejected

DrawApple = Callable[[RenderSubject], tuple[bytes, bytes] | None]
DrawGoogle = Callable[[RenderSubject, GoogleContent, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class WalletRenderer:
    drawings: AppleDrawings = field(default_factory=AppleDrawings)
    google: GoogleDrawings = field(default_factory=GoogleDrawings)

    def render(self, subject: RenderSubject) -> Rendering:
        return self._rendering(subject, self.drawings.draw, self.google.object_body)

    def render_bare(self, subject: RenderSubject) -> Rendering:
        return self._rendering(subject, self.drawings.draw_bare, self.google.bare_object_body)

    def _rendering(
        self, subject: RenderSubject, draw_apple: DrawApple, draw_google: DrawGoogle
    ) -> Rendering:
        try:
            pass_json, manifest = draw_apple(subject) or (None, None)
            google_object, object_id = _google(subject, draw_google)
        except (PassContentRejected, GoogleContentRejected) as refusal:
            raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal
        return Rendering(
            pass_json=pass_json.decode() if pass_json is not None else None,
            manifest=manifest.decode() if manifest is not None else None,
            google_object=google_object,
            google_object_id=object_id,
            content_sha256=_digest(pass_json or b"", manifest or b"", encoded(google_object)),
        )


def _digest(*parts: bytes) -> str:
    sized = [part for each in parts for part in (len(each).to_bytes(4, "big"), each)]
    return hashlib.sha256(b"".join(sized)).hexdigest()


def _google(
    subject: RenderSubject, draw: DrawGoogle
) -> tuple[Mapping[str, Any] | None, str | None]:
    google, issuer_id = subject.template.content.google, subject.template.google_issuer_id
    if google is None or issuer_id is None:
        return None, None
    body = draw(subject, google, issuer_id)
    return body, str(body["id"])
