"""Draws passes for Apple Wallet."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from passferry_pass_issuer.adapters.apple_content import constant_content, outline, pass_content
from passferry_pass_issuer.adapters.apple_frames import TemplateFrames
from passferry_pass_issuer.adapters.recently_used import RecentlyUsed
from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import RenderSubject, TemplateFacts
from passferry_wallet.apple.bundle import ManifestFrame, sha1_hex
from passferry_wallet.apple.pass_json import build_pass_json, constant_parts
from passferry_wallet.apple.rejections import PassContentRejected

#: Template versions in use at one time, and what they may keep in memory together.
CACHED_TEMPLATES = 1_000
CACHED_BYTES = 64_000_000
#: What a version keeps beside its content and its frames.
TEMPLATE_OVERHEAD_BYTES = 25_000
#: What is prepared for each value that comes from a pass.
EXPRESSION_OVERHEAD_BYTES = 2_000

_VersionKey = tuple[UUID, UUID, int]


class AppleDrawings:
    """Draws passes; templates are prepared once and kept while they are used."""

    def __init__(self, *, most: int = CACHED_TEMPLATES, most_bytes: int = CACHED_BYTES) -> None:
        self._kept: RecentlyUsed[_VersionKey, PreparedTemplate] = RecentlyUsed(
            most=most, most_bytes=most_bytes
        )

    @property
    def count(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, nearly."""
        return self._kept.size

    def draw(self, subject: RenderSubject) -> tuple[bytes, bytes] | None:
        """pass.json and its manifest; None where the template is not for Apple. Raises
        PassContentRejected and ContentRejected."""
        prepared = self._prepared(subject.template)
        if prepared is None:
            return None
        size = prepared.size
        try:
            pass_json = prepared.pass_json(subject)
        finally:
            # A frame more, or others: also where what was filled into it is refused.
            if prepared.size != size:
                self._keep(prepared)
        return prepared.with_manifest(pass_json)

    def draw_bare(self, subject: RenderSubject) -> tuple[bytes, bytes] | None:
        """A voided pass that shows what its template says, and nothing of its own."""
        prepared = self._prepared(subject.template)
        return None if prepared is None else prepared.with_manifest(prepared.bare(subject))

    def _prepared(self, facts: TemplateFacts) -> PreparedTemplate | None:
        apple, pass_type = facts.content.apple, facts.pass_type_identifier
        if apple is None or pass_type is None:
            return None
        known = self._kept.get(_key(facts))
        # A draft keeps its number while it is changed.
        if known is not None and known.facts is facts:
            return known
        prepared = PreparedTemplate(facts, apple, pass_type)
        self._keep(prepared)
        return prepared

    def _keep(self, prepared: PreparedTemplate) -> None:
        self._kept.keep(_key(prepared.facts), prepared, size=prepared.size)


def _key(facts: TemplateFacts) -> _VersionKey:
    return facts.workspace_id, facts.template_id, facts.template_version


class PreparedTemplate:
    """A published version: its constant parts, its manifest, and frames where they fit."""

    def __init__(self, facts: TemplateFacts, apple: AppleContent, pass_type: str) -> None:
        self.facts = facts
        self._apple, self._pass_type = apple, pass_type
        self._constant = constant_parts(constant_content(apple))
        self._frames = TemplateFrames.of(apple, pass_type, self._constant)
        self._manifest = ManifestFrame(facts.asset_sha1)
        expressions = sum(each is not None for each in apple.expressions())
        self._bytes = (
            TEMPLATE_OVERHEAD_BYTES + EXPRESSION_OVERHEAD_BYTES * expressions + facts.content_bytes
        )

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, nearly."""
        return self._bytes + (0 if self._frames is None else self._frames.size)

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
