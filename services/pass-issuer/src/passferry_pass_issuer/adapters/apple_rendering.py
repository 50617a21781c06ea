"""Draws passes for Apple Wallet: what a template's passes share is written once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import orjson

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.adapters.apple_content import (
    constant_content,
    document,
    outline,
    own_content,
    pass_content,
    shown_barcodes,
    wallet_group,
)
from passferry_pass_issuer.adapters.apple_fields import DrawnField
from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.json_pattern import Constant, pattern_expressions
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import RenderSubject, TemplateFacts
from passferry_wallet.apple.bundle import ManifestFrame, sha1_hex
from passferry_wallet.apple.json_frame import encoded
from passferry_wallet.apple.pass_barcodes import barcode_members
from passferry_wallet.apple.pass_content import FieldGroup
from passferry_wallet.apple.pass_fields import most_in_group
from passferry_wallet.apple.pass_frame import PassFrame
from passferry_wallet.apple.pass_json import (
    build_pass_json,
    checked_serial,
    checked_token,
    constant_parts,
    json_of,
    own_members,
)
from passferry_wallet.apple.pass_values import w3c_date
from passferry_wallet.apple.rejections import PassContentRejected

CACHED_TEMPLATES = 1_000
#: Of one template: its passes differ in which fields have a value, and in whether they ended.
MAX_FRAMES = 64

#: Address of the web service, whether the pass is active, its own members, groups with fields.
_Shape = tuple[str, bool, tuple[str, ...], tuple[FieldGroup, ...]]


class AppleDrawings:
    """Keeps the templates that were prepared."""

    def __init__(self, *, most: int = CACHED_TEMPLATES) -> None:
        self._most = most
        #: The facts are kept beside what was made of them, so their id stays their own.
        self._kept: OrderedDict[int, tuple[TemplateFacts, PreparedTemplate | None]] = OrderedDict()

    def draw(self, subject: RenderSubject) -> tuple[bytes, bytes] | None:
        """pass.json and manifest; None where the template is not for Apple. Raises
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
            kept = self._kept[id(facts)] = (facts, _prepared(facts))
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return kept[1]


def _prepared(facts: TemplateFacts) -> PreparedTemplate | None:
    apple, pass_type = facts.content.apple, facts.pass_type_identifier
    if apple is None or pass_type is None:
        return None
    return PreparedTemplate(apple, pass_type, facts.asset_sha1)


class PreparedTemplate:
    """A template version: its constant parts, its fields, and a frame for each shape of pass."""

    def __init__(
        self, apple: AppleContent, pass_type_identifier: str, asset_sha1: Mapping[str, str]
    ) -> None:
        self._apple, self._pass_type = apple, pass_type_identifier
        self._manifest = ManifestFrame(asset_sha1)
        self._constant = constant_parts(constant_content(apple))
        self._is_framed = _can_be_framed(apple)
        self._has_more = _has_more(apple)
        self._groups: list[tuple[FieldGroup, list[DrawnField]]] = [
            (wallet_group(group), [DrawnField(wallet_group(group), item) for item in items])
            for group, items in apple.fields.items()
        ]
        self._frames: OrderedDict[_Shape, PassFrame] = OrderedDict()

    def with_manifest(self, pass_json: bytes) -> tuple[bytes, bytes]:
        return pass_json, self._manifest.of(sha1_hex(pass_json))

    def pass_json(self, subject: RenderSubject) -> bytes:
        if self._is_framed:
            try:
                return self._framed(subject)
            except (PassContentRejected, ContentRejected):
                # Of several faults the plain writer names the first, here and everywhere.
                pass
        content = pass_content(subject, self._apple, self._pass_type)
        return build_pass_json(content, constant=self._constant)

    def bare(self, subject: RenderSubject) -> bytes:
        content = outline(subject, self._apple, self._pass_type)
        return build_pass_json(replace(content, is_voided=True), constant=self._constant)

    def _framed(self, subject: RenderSubject) -> bytes:
        own, groups = self._own(subject), self._drawn_groups(subject)
        is_active = subject.status is PassStatus.ACTIVE
        shape = subject.web_service_url, is_active, tuple(own), tuple(groups)
        frame = self._frames.get(shape)
        if frame is None:
            frame = self._frames[shape] = self._frame(subject, own, groups)
            if len(self._frames) > MAX_FRAMES:
                self._frames.popitem(last=False)
        return frame.pass_json((*own.values(), *groups.values()))

    def _frame(
        self, subject: RenderSubject, own: Mapping[str, bytes], groups: Mapping[FieldGroup, bytes]
    ) -> PassFrame:
        content = outline(subject, self._apple, self._pass_type)
        return PassFrame(
            replace(content, document=document(subject, self._apple)),
            constant=self._constant,
            own=own,
            groups=groups,
        )

    def _own(self, subject: RenderSubject) -> dict[str, bytes]:
        """The members that are of the pass, but for its fields."""
        own = {
            "serialNumber": orjson.dumps(checked_serial(subject.serial_number)),
            "authenticationToken": orjson.dumps(checked_token(subject.authentication_token)),
        }
        if subject.expires_at is not None:
            own["expirationDate"] = orjson.dumps(w3c_date(subject.expires_at, "expires_at"))
        if subject.status is PassStatus.ACTIVE:
            barcodes = shown_barcodes(self._apple, subject)
            if barcodes:
                all_written, legacy = barcode_members(barcodes)
                own["barcodes"], own["barcode"] = encoded(all_written), encoded(legacy)
        if self._has_more:
            content = own_content(subject, self._apple, self._pass_type)
            for name, value in own_members(content, constant=self._constant).items():
                own[name] = json_of(value)
        return own

    def _drawn_groups(self, subject: RenderSubject) -> dict[FieldGroup, bytes]:
        found: dict[FieldGroup, bytes] = {}
        for group, fields in self._groups:
            drawn = [body for field in fields if (body := field.draw(subject)) is not None]
            if drawn:
                found[group] = b",".join(drawn)
        return found


def _can_be_framed(apple: AppleContent) -> bool:
    """Whether what is checked of the whole pass holds for all passes of the template."""
    keys = [item.key for items in apple.fields.values() for item in items]
    if len(set(keys)) < len(keys):
        return False
    if any(len(items) > most_in_group(wallet_group(name)) for name, items in apple.fields.items()):
        return False
    if any(pattern_expressions(apple.document)):
        return False
    # Semantics of the pass would be merged with those of the document, member by member.
    names = {name for name, _ in apple.document.items} if apple.document is not None else set()
    return "semantics" not in names or not _is_of_each_pass(apple)


def _has_more(apple: AppleContent) -> bool:
    """Whether passes have more of their own than most do: see `own_content`."""
    return (
        apple.nfc is not None
        or bool(apple.relevant_dates or apple.featured_actions or apple.links)
        or apple.grouping_identifier is not None
        or apple.app_launch_url is not None
        or _is_of_each_pass(apple)
    )


def _is_of_each_pass(apple: AppleContent) -> bool:
    return apple.semantics is not None and not isinstance(apple.semantics, Constant)
