"""Draws passes for Apple Wallet."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from passferry_pass_issuer.adapters.apple_content import constant_content, outline, pass_content
from passferry_pass_issuer.adapters.apple_frames import TemplateFrames
from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import RenderSubject, TemplateFacts
from passferry_wallet.apple.bundle import ManifestFrame, sha1_hex
from passferry_wallet.apple.pass_json import build_pass_json, constant_parts
from passferry_wallet.apple.rejections import PassContentRejected

CACHED_TEMPLATES = 1_000


class AppleDrawings:
    """Draws passes; templates are prepared once and kept."""

    def __init__(self, *, most: int = CACHED_TEMPLATES) -> None:
        self._most = most
        #: The facts are kept beside what was made of them, so their id stays their own.
        self._kept: OrderedDict[int, tuple[TemplateFacts, PreparedTemplate | None]] = OrderedDict()

    @property
    def size(self) -> int:
        return len(self._kept)

    def draw(self, subject: RenderSubject) -> tuple[bytes, bytes] | None:
        """pass.json and its manifest; None where the template is not for Apple. Raises
        PassContentRejected and ContentRejected."""
        prepared = self._prepared(subject.template)
        return None if prepared is None else prepared.with_manifest(prepared.pass_json(subject))

    def draw_bare(self, subject: RenderSubject) -> tuple[bytes, bytes] | None:
        """A voided pass that shows what its template says, and nothing of its own."""
        prepared = self._prepared(subject.template)
        return None if prepared is None else prepared.with_manifest(prepared.bare(subject))

    def _prepared(self, facts: TemplateFacts) -> PreparedTemplate | None:
        kept = self._kept.get(id(facts))
        if kept is None:
            kept = self._kept[id(facts)] = facts, _prepared(facts)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return kept[1]


def _prepared(facts: TemplateFacts) -> PreparedTemplate | None:
    apple, pass_type = facts.content.apple, facts.pass_type_identifier
    return None if apple is None or pass_type is None else PreparedTemplate(facts, apple, pass_type)


class PreparedTemplate:
    """A published version: its constant parts, its manifest, and frames where they fit."""

    def __init__(self, facts: TemplateFacts, apple: AppleContent, pass_type: str) -> None:
        self._apple, self._pass_type = apple, pass_type
        self._constant = constant_parts(constant_content(apple))
        self._frames = TemplateFrames.of(apple, pass_type, self._constant)
        self._manifest = ManifestFrame(facts.asset_sha1)

    def pass_json(self, subject: RenderSubject) -> bytes:
        if self._frames is None:
            return self.plain_pass_json(subject)
        try:
            return self._frames.pass_json(subject)
        except (PassContentRejected, ContentRejected):
            # Of several faults the plain writer names the first, whatever the template.
            return self.plain_pass_json(subject)

    def plain_pass_json(self, subject: RenderSubject) -> bytes:
        """The same bytes without a frame: all is checked and written for this pass."""
        content = pass_content(subject, self._apple, self._pass_type)
        return build_pass_json(content, constant=self._constant)

    def bare(self, subject: RenderSubject) -> bytes:
        content = outline(subject, self._apple, self._pass_type)
        return build_pass_json(replace(content, is_voided=True), constant=self._constant)

    def with_manifest(self, pass_json: bytes) -> tuple[bytes, bytes]:
        return pass_json, self._manifest.of(sha1_hex(pass_json))
