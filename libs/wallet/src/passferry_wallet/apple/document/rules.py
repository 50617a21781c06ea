"""What must hold between the keys of a pass, and what its newer looks need."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_wallet.apple.document.whole import STYLES, ApplePass
from passferry_wallet.apple.pass_barcodes import BARCODE_NAMES, EVERYWHERE
from passferry_wallet.apple.rejections import PassContentRejected

_GROUPED_STYLES = frozenset({"boardingPass", "eventTicket"})
_LONG_KNOWN_BARCODES = frozenset(
    {*(BARCODE_NAMES[each] for each in EVERYWHERE), BARCODE_NAMES["code128"]}
)

_POSTER_TICKET = "posterEventTicket"
_SEMANTIC_BOARDING = "semanticBoardingPass"
#: What the journey's newer look is drawn from, in Apple's names.
_BOARDING_NEEDS = (
    "airlineCode", "flightNumber", "originalDepartureDate", "originalBoardingDate",
    "originalArrivalDate", "departureAirportTimeZone", "departureAirportCode",
    "destinationAirportCode", "passengerName",
)  # fmt: skip
_EVENT_NEEDS = {
    "PKEventTypeSports": ("homeTeamAbbreviation", "awayTeamAbbreviation"),
    "PKEventTypeLivePerformance": ("performerNames",),
}


def check_whole(content: ApplePass) -> None:
    """Raises PassContentRejected with the path of the first fault."""
    _check_style(content)
    _check_fields(content)
    _check_web_service(content)
    _check_barcodes(content)
    if content.app_launch_url is not None and not content.associated_store_identifiers:
        raise PassContentRejected("app_missing", "appLaunchURL", "needs associatedStoreIdentifiers")
    if content.grouping_identifier is not None and not _GROUPED_STYLES & content.styles().keys():
        raise PassContentRejected(
            "grouping_invalid", "groupingIdentifier", "only tickets and boarding passes group"
        )


def _check_style(content: ApplePass) -> None:
    styles = content.styles()
    if set(styles) != {"posterGeneric", "generic"} and len(styles) != 1:
        raise PassContentRejected(
            "style_invalid", "style", f"exactly one of {', '.join(STYLES)} is needed, or "
            "posterGeneric with generic",
        )  # fmt: skip
    if "posterGeneric" in styles and "generic" not in styles:
        raise PassContentRejected(
            "style_invalid", "posterGeneric", "needs generic beside it for iOS 26 and before"
        )
    for name, groups in styles.items():
        if (groups.transit_type is not None) != (name == "boardingPass"):
            raise PassContentRejected(
                "transit_type_invalid",
                f"{name}.transitType",
                "a boarding pass has one, others have none",
            )


def _check_fields(content: ApplePass) -> None:
    for style, groups in content.styles().items():
        seen: set[str] = set()
        for path, each in groups.all_fields():
            if each.key in seen:
                raise PassContentRejected(
                    "duplicate", f"{style}.{path}.key", "the key is used twice in the pass"
                )
            seen.add(each.key)


def _check_web_service(content: ApplePass) -> None:
    if (content.web_service_url is None) != (content.authentication_token is None):
        raise PassContentRejected(
            "web_service_incomplete",
            "webServiceURL",
            "the address and the authentication token come both or not at all",
        )


def _check_barcodes(content: ApplePass) -> None:
    formats = {barcode.format for barcode in content.barcodes or ()}
    if formats and not formats & _LONG_KNOWN_BARCODES:
        raise PassContentRejected(
            "barcode_fallback_missing",
            "barcodes",
            "iOS 26 and before show none of them: add QR, PDF417, Aztec or Code 128",
        )


@dataclass(frozen=True, slots=True)
class SchemeGap:
    """Something without which a device shows the older look."""

    path: str
    sentence: str


def scheme_gaps(content: ApplePass, image_names: frozenset[str]) -> list[SchemeGap]:
    """What the preferred looks of this pass lack. They fall back silently, so someone should say."""
    schemes = content.preferred_style_schemes or []
    gaps: list[SchemeGap] = []
    for scheme, style in ((_POSTER_TICKET, "eventTicket"), (_SEMANTIC_BOARDING, "boardingPass")):
        if scheme not in schemes:
            continue
        if style not in content.styles():
            gaps.append(SchemeGap("preferredStyleSchemes", f"{scheme} is a look of {style}"))
        if style not in schemes:
            gaps.append(
                SchemeGap("preferredStyleSchemes", f"name {style} behind {scheme} as its fallback")
            )
    if _POSTER_TICKET in schemes:
        gaps += _poster_gaps(content, image_names)
    if _SEMANTIC_BOARDING in schemes:
        gaps += _semantic_gaps(content, _BOARDING_NEEDS, "the semantic boarding pass")
    return gaps


def _poster_gaps(content: ApplePass, image_names: frozenset[str]) -> list[SchemeGap]:
    gaps = []
    if content.nfc is None:
        gaps.append(SchemeGap("nfc", "the poster event ticket needs nfc"))
    elif not content.nfc.requires_authentication:
        gaps.append(
            SchemeGap("nfc.requiresAuthentication", "the poster event ticket needs it to be true")
        )
    kind = content.semantics.event_type if content.semantics else None
    needs = ("eventName", "venueName", *_EVENT_NEEDS.get(kind or "", ()))
    gaps += _semantic_gaps(content, needs, "the poster event ticket")
    if not any(name.startswith(("artwork", "background")) for name in image_names):
        gaps.append(SchemeGap("files", "the poster event ticket needs artwork or background"))
    if content.logo_text is not None:
        gaps.append(SchemeGap("logoText", "the poster event ticket does not show it"))
    return gaps


def _semantic_gaps(content: ApplePass, needs: tuple[str, ...], look: str) -> list[SchemeGap]:
    told = (
        content.semantics.model_dump(by_alias=True, exclude_none=True) if content.semantics else {}
    )
    return [
        SchemeGap(f"semantics.{name}", f"{look} needs it") for name in needs if name not in told
    ]
