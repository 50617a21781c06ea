"""Draws passes by filling frames: what the passes of a template share is written once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.adapters.apple_barcodes import DrawnBarcodes
from passferry_pass_issuer.adapters.apple_content import (
    document,
    outline,
    wallet_group,
)
from passferry_pass_issuer.adapters.apple_fields import (
    DrawnField,
    pattern_writer,
    written_constants,
)
from passferry_pass_issuer.adapters.apple_members import member_steps
from passferry_pass_issuer.adapters.recently_used import RecentlyUsed
from passferry_pass_issuer.domain.apple_template import STYLES, AppleContent
from passferry_pass_issuer.domain.json_pattern import pattern_expressions
from passferry_pass_issuer.domain.pattern_drawing import ABSENT, Drawing, drawing
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_wallet.apple.document import document_place
from passferry_wallet.apple.pass_barcodes import MAX_BARCODES
from passferry_wallet.apple.pass_content import FieldGroup
from passferry_wallet.apple.pass_fields import most_in_group
from passferry_wallet.apple.pass_frame import PassFrame
from passferry_wallet.apple.pass_json import (
    GROUPED_STYLES,
    checked_serial,
    checked_token,
    json_of,
)
from passferry_wallet.apple.pass_values import w3c_date
from passferry_wallet.apple.rejections import PassContentRejected

#: Of one template: its passes differ in which values they have, and in whether they ended.
MAX_FRAMES = 64
#: Of the frames of one template together; large ones are fewer.
MAX_FRAME_BYTES = 1_000_000
#: What a frame keeps beside its text.
FRAME_OVERHEAD_BYTES = 1_500

#: Address of the web service, whether the pass is active, its own members, groups with fields,
#: members of the document.
_Shape = tuple[str, bool, tuple[str, ...], tuple[FieldGroup, ...], tuple[str, ...]]


class TemplateFrames:
    """The fields and barcodes of a template, and a frame for each shape of its passes."""

    def __init__(
        self, apple: AppleContent, pass_type_identifier: str, constant: Mapping[str, Any]
    ) -> None:
        self._apple, self._pass_type, self._constant = apple, pass_type_identifier, constant
        self._document = _document(apple)
        self._steps = member_steps(apple)
        self._barcodes = DrawnBarcodes(apple.barcodes)
        self._groups: list[tuple[FieldGroup, list[DrawnField]]] = [
            (wallet_group(name), [DrawnField(wallet_group(name), item) for item in items])
            for name, items in apple.fields.items()
        ]
        self._frames: RecentlyUsed[_Shape, PassFrame] = RecentlyUsed(
            most=MAX_FRAMES, most_bytes=MAX_FRAME_BYTES
        )

    @classmethod
    def of(
        cls, apple: AppleContent, pass_type_identifier: str, constant: Mapping[str, Any]
    ) -> TemplateFrames | None:
        """None for what no frame fits."""
        if not _can_be_framed(apple):
            return None
        try:
            return cls(apple, pass_type_identifier, constant)
        except PassContentRejected:
            # The plain writer tells what is wrong, where a pass has it.
            return None

    @property
    def count(self) -> int:
        return len(self._frames)

    @property
    def size(self) -> int:
        """Bytes that its frames keep in memory."""
        return self._frames.size

    def pass_json(self, subject: RenderSubject) -> bytes:
        """Raises PassContentRejected and ContentRejected."""
        own, groups = self._own(subject), self._drawn_groups(subject)
        told = {} if self._document is None else _told(self._document, subject)
        is_active = subject.status is PassStatus.ACTIVE
        shape = subject.web_service_url, is_active, tuple(own), tuple(groups), tuple(told)
        frame = self._frames.get(shape)
        if frame is None:
            frame = self._frame(subject, shape)
            self._frames.keep(shape, frame, size=frame.size + FRAME_OVERHEAD_BYTES)
        return frame.pass_json((*own.values(), *groups.values(), *told.values()))

    def _frame(self, subject: RenderSubject, shape: _Shape) -> PassFrame:
        _, _, own, groups, told = shape
        content = outline(subject, self._apple, self._pass_type)
        if self._document is None:
            content = replace(content, document=document(subject, self._apple))
        return PassFrame(content, constant=self._constant, own=own, groups=groups, document=told)

    def _own(self, subject: RenderSubject) -> dict[str, bytes]:
        """The members that are of the pass, but for its fields."""
        own = {
            "serialNumber": orjson.dumps(checked_serial(subject.serial_number)),
            "authenticationToken": orjson.dumps(checked_token(subject.authentication_token)),
        }
        if subject.expires_at is not None:
            own["expirationDate"] = orjson.dumps(w3c_date(subject.expires_at, "expires_at"))
        # Nobody scans what is spent.
        drawn = self._barcodes.draw(subject) if subject.status is PassStatus.ACTIVE else None
        if drawn is not None:
            own["barcodes"], own["barcode"] = drawn
        for add in self._steps:
            add(subject, own)
        return own

    def _drawn_groups(self, subject: RenderSubject) -> dict[FieldGroup, bytes]:
        found: dict[FieldGroup, bytes] = {}
        for group, fields in self._groups:
            drawn = [body for field in fields if (body := field.draw(subject)) is not None]
            if drawn:
                found[group] = b",".join(drawn)
        return found


def _can_be_framed(apple: AppleContent) -> bool:
    """Whether what is checked of a whole pass holds for all passes of the template."""
    keys = [item.key for items in apple.fields.values() for item in items]
    if len(set(keys)) < len(keys) or len(apple.barcodes) > MAX_BARCODES:
        return False
    if any(len(items) > most_in_group(wallet_group(name)) for name, items in apple.fields.items()):
        return False
    if apple.grouping_identifier is not None and apple.style not in GROUPED_STYLES:
        return False
    if apple.app_launch_url is not None and not apple.associated_store_identifiers:
        return False
    # Objects of the document are merged with those of the pass, member by member.
    names = {name for name, _ in apple.document.items} if apple.document is not None else set()
    if any(pattern_expressions(apple.document)) and not names.isdisjoint(STYLES):
        return False
    return "semantics" not in names or apple.semantics is None


def _document(apple: AppleContent) -> Drawing | None:
    """None where it is the same in all passes."""
    if apple.document is None or not any(pattern_expressions(apple.document)):
        return None
    return drawing(
        written_constants(apple.document), "apple.document", document_place(), pattern_writer
    )


def _told(draw: Drawing, subject: RenderSubject) -> dict[str, bytes]:
    found = draw(subject)
    return {} if found is ABSENT else {name: json_of(value) for name, value in found.items()}
