"""What a template shows of a pass in Apple Wallet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.adapters.apple_fields import pass_field, pattern_writer
from passferry_pass_issuer.domain.apple_template import (
    LINKS,
    AppleContent,
    NfcContent,
    RelevantDateContent,
)
from passferry_pass_issuer.domain.field_mapping import evaluate_text, reading
from passferry_pass_issuer.domain.json_pattern import Constant, JsonPattern
from passferry_pass_issuer.domain.pattern_drawing import ABSENT, drawing
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import BarcodeContent, ValueExpression
from passferry_wallet.apple.document import Place, document_place, semantics_place
from passferry_wallet.apple.pass_content import (
    Barcode,
    Beacon,
    FeaturedAction,
    FieldGroup,
    Location,
    Nfc,
    PassColours,
    PassContent,
    PassIdentity,
    RelevantDate,
)

#: Wallet's groups are named in camel case.
_GROUPS = {"additional_info": "additionalInfo"}
_TEXT = "text"
_NO_IDENTITY = PassIdentity(
    pass_type_identifier="",
    team_identifier="",
    serial_number="",
    organization_name="",
    description="",
)


def constant_content(apple: AppleContent) -> PassContent:
    """What all passes of the template say alike."""
    semantics = apple.semantics
    return PassContent(
        identity=_NO_IDENTITY,
        style=cast("Any", apple.style),
        colours=PassColours(
            background=apple.background_color,
            foreground=apple.foreground_color,
            label=apple.label_color,
            strip=apple.strip_color,
            footer_background=apple.footer_background_color,
        ),
        logo_text=apple.logo_text,
        preferred_style_schemes=apple.preferred_style_schemes,
        locations=tuple(
            Location(
                latitude=Decimal(each.latitude),
                longitude=Decimal(each.longitude),
                altitude=None if each.altitude is None else Decimal(each.altitude),
                relevant_text=each.relevant_text,
            )
            for each in apple.locations
        ),
        beacons=tuple(
            Beacon(
                proximity_uuid=each.proximity_uuid,
                major=each.major,
                minor=each.minor,
                relevant_text=each.relevant_text,
            )
            for each in apple.beacons
        ),
        max_distance_m=apple.max_distance_m,
        associated_store_identifiers=apple.associated_store_identifiers,
        auxiliary_store_identifiers=apple.auxiliary_store_identifiers,
        semantics=semantics.value if isinstance(semantics, Constant) else None,
        links={LINKS[name]: each.text for name, each in apple.links.items() if is_text(each)},
    )


def pass_content(
    subject: RenderSubject, apple: AppleContent, pass_type_identifier: str
) -> PassContent:
    """All that a pass shows, but for `constant_content`."""
    fields = {
        wallet_group(group): tuple(
            [field for item in items if (field := pass_field(item, subject)) is not None]
        )
        for group, items in apple.fields.items()
    }
    return replace(
        outline(subject, apple, pass_type_identifier),
        fields=fields,
        barcodes=tuple(
            barcode
            for content in apple.barcodes
            if (barcode := _barcode(content, subject)) is not None
        ),
        nfc=_nfc(apple, subject),
        relevant_dates=tuple(
            found for read in relevant_dates(apple) if (found := read(subject)) is not None
        ),
        expires_at=subject.expires_at,
        grouping_identifier=evaluate_text(apple.grouping_identifier, subject),
        featured_actions=tuple(
            FeaturedAction(
                identifier=each.identifier, type=each.type, url=evaluate_text(each.url, subject)
            )
            for each in apple.featured_actions
        ),
        app_launch_url=evaluate_text(apple.app_launch_url, subject),
        semantics=_drawn(apple.semantics, subject, "apple.semantics", semantics_place()),
        links=_links(apple, subject),
        document=document(subject, apple),
    )


def outline(subject: RenderSubject, apple: AppleContent, pass_type_identifier: str) -> PassContent:
    """Who issues the pass, what kind it is, and whether it ended."""
    return PassContent(
        identity=_identity(subject, apple, pass_type_identifier),
        # The template was checked for its style and groups when it was parsed.
        style=cast("Any", apple.style),
        transit_type=cast("Any", apple.transit_type),
        is_voided=subject.status is not PassStatus.ACTIVE,
        is_sharing_prohibited=apple.is_sharing_prohibited,
    )


def _identity(
    subject: RenderSubject, apple: AppleContent, pass_type_identifier: str
) -> PassIdentity:
    return PassIdentity(
        pass_type_identifier=pass_type_identifier,
        team_identifier=subject.template.team_identifier or "",
        serial_number=subject.serial_number,
        organization_name=apple.organization_name,
        description=apple.description,
        web_service_url=subject.web_service_url,
        authentication_token=subject.authentication_token,
        # Publishing compares the template with the certificate.
        has_nfc_certificate=apple.nfc is not None,
    )


def wallet_group(name: str) -> FieldGroup:
    """Wallet's groups are named in camel case."""
    return cast("FieldGroup", _GROUPS.get(name, name))


def document(subject: RenderSubject, apple: AppleContent) -> Mapping[str, Any]:
    return _drawn(apple.document, subject, "apple.document", document_place()) or {}


def _drawn(pattern: JsonPattern | None, subject: RenderSubject, path: str, place: Place) -> Any:
    """None as well where it is constant: that part was written before."""
    if pattern is None or isinstance(pattern, Constant):
        return None
    found = drawing(pattern, path, place, pattern_writer)(subject)
    return None if found is ABSENT else found


def is_text(expression: ValueExpression) -> bool:
    return expression.source == _TEXT


def _links(apple: AppleContent, subject: RenderSubject) -> dict[str, str]:
    found = {}
    for name, expression in apple.links.items():
        address = None if is_text(expression) else evaluate_text(expression, subject)
        if address is not None:
            found[LINKS[name]] = address
    return found


def _barcode(content: BarcodeContent, subject: RenderSubject) -> Barcode | None:
    message = evaluate_text(content.message, subject)
    if message is None:
        return None
    return Barcode(
        format=cast("Any", content.format),
        message=message,
        message_encoding=message_encoding(content),
        alternate_text=evaluate_text(content.alternate_text, subject),
    )


def message_encoding(content: BarcodeContent) -> str:
    """Code 128 holds ASCII, and scanners expect it in Latin-1."""
    return "iso-8859-1" if content.format == "code128" else content.encoding


def _nfc(apple: AppleContent, subject: RenderSubject) -> Nfc | None:
    message = evaluate_text(apple.nfc.message, subject) if apple.nfc is not None else None
    return None if apple.nfc is None or message is None else nfc_of(apple.nfc, message)


def nfc_of(content: NfcContent, message: str) -> Nfc:
    return Nfc(
        message=message,
        encryption_public_key=content.encryption_public_key,
        requires_authentication=content.is_authentication_required,
    )


def relevant_dates(apple: AppleContent) -> list[Callable[[RenderSubject], RelevantDate | None]]:
    """What gives each date for one pass after the other; None when there is none."""
    return [
        _relevant_date(each, f"apple.relevant_dates.{at}")
        for at, each in enumerate(apple.relevant_dates)
    ]


def _relevant_date(
    content: RelevantDateContent, path: str
) -> Callable[[RenderSubject], RelevantDate | None]:
    read_start = reading(content.start)
    read_end = None if content.end is None else reading(content.end)

    def read(subject: RenderSubject) -> RelevantDate | None:
        start = read_start(subject)
        end = None if read_end is None else read_end(subject)
        if start is None or (read_end is not None and end is None):
            return None
        if not isinstance(start, datetime) or not isinstance(end, datetime | None):
            raise ContentRejected("value_invalid", path, "is a date, and the pass has a text there")
        return RelevantDate(start=start, end=end)

    return read
