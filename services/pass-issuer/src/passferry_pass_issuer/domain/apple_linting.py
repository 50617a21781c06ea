"""What people with an Apple device would find wrong with a template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from passferry_pass_issuer.domain.apple_image_linting import ImageFile, lint_images
from passferry_pass_issuer.domain.apple_template import AppleContent, FieldContent
from passferry_pass_issuer.domain.colour_contrast import contrast_ratio
from passferry_pass_issuer.domain.linting import LEFT_TO_NOBODY, LintFinding, Severity
from passferry_pass_issuer.domain.value_expression import (
    FIELD_PREFIX,
    BarcodeContent,
    ValueExpression,
)

LEAST_CONTRAST = 3.0
MAX_LABEL = 20
MAX_FRONT_TEXT = 40
MAX_LOGO_TEXT = 20

FRONT_GROUPS = ("header", "primary", "secondary", "auxiliary", "footer")
#: Groups that share a place, and how many fields have room there on a small phone.
ROOM: Mapping[str, tuple[tuple[tuple[str, ...], int], ...]] = {
    "storeCard": ((("primary",), 1), (("secondary", "auxiliary"), 4)),
    "coupon": ((("primary",), 1), (("secondary", "auxiliary"), 4)),
    "generic": ((("primary",), 1), (("secondary", "auxiliary"), 4)),
    "eventTicket": ((("primary",), 1), (("secondary",), 4), (("auxiliary",), 4)),
    "boardingPass": ((("primary",), 2), (("secondary",), 4), (("auxiliary",), 5)),
    "posterGeneric": ((("primary",), 1), (("footer",), 1), (("secondary", "auxiliary"), 4)),
}
#: What every device and the watch show, and what phones have shown for years.
_EVERYWHERE = frozenset({"qr", "pdf417", "aztec"})
_NEW_BARCODES = frozenset({"ean13", "code39", "codabar", "i2of5"})
#: Sources of barcodes that are ASCII by our own rules.
_ASCII_SOURCES = frozenset({"pass.code", "pass.serial_number", "unit", "pass.status"})


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFacts:
    """Of the active signing identity of the template's pass type."""

    has_nfc: bool
    #: The certificate's own, and the one that the template names.
    team_identifier: str
    template_team: str | None


def lint_apple(
    apple: AppleContent, files: Sequence[ImageFile], identity: IdentityFacts | None
) -> list[LintFinding]:
    """In the order of the template. `identity` is None when none was uploaded yet."""
    return [
        *_lint_name(apple),
        *_lint_colours(apple),
        *_lint_fields(apple),
        *_lint_room(apple),
        *_lint_barcodes(apple.barcodes),
        *_lint_identity(apple, identity),
        *_lint_places(apple),
        *_lint_strings(apple),
        *lint_images(apple.style, apple.preferred_style_schemes, files),
    ]


def _warning(path: str, message: str, code: str) -> LintFinding:
    return _finding("warning", path, message, code)


def _error(path: str, message: str, code: str) -> LintFinding:
    return _finding("error", path, message, code)


def _finding(severity: Severity, path: str, message: str, code: str) -> LintFinding:
    return LintFinding(severity=severity, path=path, message=message, code=code)


def _lint_name(apple: AppleContent) -> Iterator[LintFinding]:
    if not apple.organization_name:
        yield _error("apple.organization_name", LEFT_TO_NOBODY, "required")


def _lint_colours(apple: AppleContent) -> Iterator[LintFinding]:
    if apple.background_color is None:
        return
    for name, colour in (
        ("foreground_color", apple.foreground_color),
        ("label_color", apple.label_color),
    ):
        if colour is None:
            continue
        ratio = contrast_ratio(colour, apple.background_color)
        if ratio < LEAST_CONTRAST:
            yield _warning(
                f"apple.{name}",
                f"is hard to read on the background: contrast {ratio:.1f}, at least "
                f"{LEAST_CONTRAST:.0f} is needed",
                "contrast_low",
            )


def _lint_fields(apple: AppleContent) -> Iterator[LintFinding]:
    if apple.logo_text is not None and len(apple.logo_text) > MAX_LOGO_TEXT:
        yield _warning(
            "apple.logo_text", f"is cut off beyond {MAX_LOGO_TEXT} characters", "too_long"
        )
    speaks = False
    for group, fields in apple.fields.items():
        for place, each in enumerate(fields):
            path = f"apple.fields.{group}.{place}"
            yield from _lint_field(group, each, path)
            speaks = speaks or (each.change_message is not None and not _is_constant(each.value))
    if apple.fields and not speaks:
        yield _warning(
            "apple.fields",
            "no field has a change_message, so changes come without a word on the lock screen",
            "change_message_missing",
        )


def _lint_field(group: str, item: FieldContent, path: str) -> Iterator[LintFinding]:
    is_front = group in FRONT_GROUPS
    if item.change_message is not None and _is_constant(item.value):
        yield _warning(
            f"{path}.change_message",
            "is never shown: the value is a constant",
            "change_message_unused",
        )
    if is_front and item.label is not None and len(item.label) > MAX_LABEL:
        yield _warning(
            f"{path}.label", f"is cut off beyond about {MAX_LABEL} characters", "too_long"
        )
    if is_front and _is_constant(item.value) and len(item.value.text) > MAX_FRONT_TEXT:
        yield _warning(
            f"{path}.value", f"is cut off beyond about {MAX_FRONT_TEXT} characters", "too_long"
        )
    may_be_absent = item.value.source.startswith(FIELD_PREFIX) and item.value.default is None
    if group == "primary" and may_be_absent:
        yield _warning(
            f"{path}.value",
            "has no default: a pass without this value has no primary field",
            "default_missing",
        )
    if item.attributed_value is not None:
        yield _warning(
            f"{path}.attributed_value",
            "is not shown by the watch, which shows the value",
            "not_on_watch",
        )
    yield from _lint_misplaced(group, item, path)


def _lint_misplaced(group: str, item: FieldContent, path: str) -> Iterator[LintFinding]:
    for name, is_given, groups in (
        ("text_alignment", item.text_alignment is not None, {*FRONT_GROUPS, "additional_info"} - {"primary"}),
        ("data_detectors", item.data_detectors is not None, {"back"}),
        ("row", item.row is not None, {"auxiliary"}),
    ):  # fmt: skip
        if is_given and group not in groups:
            yield _error(f"{path}.{name}", f"has no meaning in the group {group}", "style_invalid")


def _is_constant(expression: ValueExpression) -> bool:
    return expression.source == "text"


def _lint_room(apple: AppleContent) -> Iterator[LintFinding]:
    for groups, room in ROOM.get(apple.style, ()):
        count = sum(len(apple.fields.get(group, ())) for group in groups)
        if count > room:
            yield _warning(
                f"apple.fields.{groups[-1]}",
                f"a {apple.style} has room for {room} of {' and '.join(groups)}; the rest is hidden",
                "too_many_fields",
            )
    headers = apple.fields.get("header", ())
    if len(headers) > 1 and apple.logo_text is not None:
        yield _warning(
            "apple.fields.header", "several leave little room for logo_text", "too_many_fields"
        )
    if apple.fields.get("footer") and apple.style != "posterGeneric":
        yield _error("apple.fields.footer", "only posterGeneric has a footer", "style_invalid")


def _lint_barcodes(barcodes: Sequence[BarcodeContent]) -> Iterator[LintFinding]:
    for place, each in enumerate(barcodes):
        path = f"apple.barcodes.{place}"
        if each.format not in _EVERYWHERE and not _is_ascii(each.message):
            yield _warning(
                f"{path}.message",
                f"{each.format} holds few characters: a pass whose value has others is refused",
                "barcode_charset",
            )
        if each.format in _NEW_BARCODES and place > 0 and barcodes[0].format in _EVERYWHERE:
            yield _warning(path, "is never shown: the one before it always is", "barcode_unused")
    formats = {each.format for each in barcodes}
    if formats and not formats & _EVERYWHERE:
        yield _warning(
            "apple.barcodes",
            "the watch, and for new formats iOS 26 and before, show none of them: a QR code of "
            "the first is put behind",
            "barcode_fallback_added",
        )


def _is_ascii(expression: ValueExpression) -> bool:
    if _is_constant(expression):
        return expression.text.isascii()
    return expression.source in _ASCII_SOURCES


def _lint_identity(apple: AppleContent, identity: IdentityFacts | None) -> Iterator[LintFinding]:
    if identity is None:
        yield _warning(
            "pass_type_identifier",
            "has no signing identity yet: its passes cannot be put on a device",
            "identity_missing",
        )
        return
    if identity.team_identifier != identity.template_team:
        yield _error(
            "team_identifier",
            f"is not the signing certificate's, which is of team {identity.team_identifier}: "
            "devices would refuse the whole pass",
            "team_mismatch",
        )
    if apple.nfc is not None and not identity.has_nfc:
        yield _error(
            "apple.nfc",
            "the signing certificate is not one for NFC: devices would refuse the whole pass",
            "nfc_certificate_missing",
        )


def _lint_places(apple: AppleContent) -> Iterator[LintFinding]:
    texts = {
        "locations": [each.relevant_text for each in apple.locations],
        "beacons": [each.relevant_text for each in apple.beacons],
    }
    for name, given in texts.items():
        for place, text in enumerate(given):
            if text is None:
                yield _warning(
                    f"apple.{name}.{place}.relevant_text",
                    "is missing: the lock screen says only that the pass is near its place",
                    "relevant_text_missing",
                )
    if apple.max_distance_m is not None and not apple.locations:
        yield _warning("apple.max_distance_m", "means nothing without locations", "unused")


def _lint_strings(apple: AppleContent) -> Iterator[LintFinding]:
    every = {text for translations in apple.strings.values() for text in translations}
    for language, translations in apple.strings.items():
        for text in sorted(every - translations.keys())[:20]:
            yield _error(
                f"apple.strings.{language}",
                f"does not translate {text[:60]!r}, which another language does",
                "translation_missing",
            )
    known = set(_texts(apple))
    for text in sorted(every - known)[:20]:
        yield _warning(
            "apple.strings", f"translates {text[:60]!r}, which the template nowhere says", "unused"
        )


def _texts(apple: AppleContent) -> Iterable[str]:
    yield from (apple.organization_name, apple.description)
    yield apple.logo_text or ""
    for fields in apple.fields.values():
        for each in fields:
            yield from (each.label or "", each.change_message or "", each.value.text)
            yield str(each.value.default)
    for barcode in apple.barcodes:
        yield barcode.alternate_text.text if barcode.alternate_text else ""
    for location in apple.locations:
        yield location.relevant_text or ""
    for beacon in apple.beacons:
        yield beacon.relevant_text or ""
