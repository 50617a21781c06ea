"""The whole of pass.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from passferry_wallet.apple.document.barcodes import Barcode, Nfc
from passferry_wallet.apple.document.fields import FieldContent, FieldGroups
from passferry_wallet.apple.document.parts import (
    Address,
    Colour,
    NeededText,
    StoreIdentifiers,
    Text,
    WebAddress,
    ZonedDate,
)
from passferry_wallet.apple.document.relevance import Beacon, Location, RelevantDate
from passferry_wallet.apple.document.semantics import Semantics
from passferry_wallet.apple.document.upcoming import (
    FeaturedAction,
    JourneyLinks,
    UpcomingPassInformation,
    VenueLinks,
)
from passferry_wallet.apple.pass_extras import MAX_FEATURED_ACTIONS
from passferry_wallet.apple.pass_relevance import (
    MAX_BEACONS,
    MAX_LOCATIONS,
    MAX_RELEVANT_DATES,
)

STYLES = ("boardingPass", "coupon", "eventTicket", "generic", "storeCard", "posterGeneric")
MAX_BARCODES_READ = 10

#: Names of schemes that later systems add are kept.
StyleScheme = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class ApplePass(VenueLinks, JourneyLinks):
    """pass.json with every key that Apple documents. `rules.check_whole` says what must hold
    between them; `read_pass_json` reads and checks both."""

    format_version: Literal[1]
    pass_type_identifier: Annotated[str, StringConstraints(pattern=r"^pass\.[A-Za-z0-9.-]{1,200}$")]
    serial_number: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    team_identifier: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,32}$")]
    organization_name: NeededText
    description: NeededText

    web_service_url: WebAddress | None = None
    authentication_token: Annotated[str, Field(min_length=16, max_length=1000)] | None = Field(
        default=None, repr=False
    )
    sharing_prohibited: bool | None = None
    user_info: Any = None
    associated_store_identifiers: StoreIdentifiers | None = None
    auxiliary_store_identifiers: StoreIdentifiers | None = None
    app_launch_url: Address | None = None

    expiration_date: ZonedDate | None = None
    voided: bool | None = None
    relevant_date: ZonedDate | None = None
    relevant_dates: Annotated[list[RelevantDate], Field(max_length=MAX_RELEVANT_DATES)] | None = (
        None
    )
    max_distance: Annotated[int, Field(gt=0)] | None = None
    locations: Annotated[list[Location], Field(max_length=MAX_LOCATIONS)] | None = None
    beacons: Annotated[list[Beacon], Field(max_length=MAX_BEACONS)] | None = None

    background_color: Colour | None = None
    foreground_color: Colour | None = None
    label_color: Colour | None = None
    strip_color: Colour | None = None
    footer_background_color: Colour | None = None
    logo_text: Text | None = None
    logo_symbol_name: Text | None = None
    event_logo_text: Text | None = None
    suppress_header_darkening: bool | None = None
    suppress_strip_shine: bool | None = None
    use_automatic_colors: bool | None = None
    preferred_style_schemes: Annotated[list[StyleScheme], Field(max_length=10)] | None = None
    grouping_identifier: Text | None = None

    barcodes: Annotated[list[Barcode], Field(max_length=MAX_BARCODES_READ)] | None = None
    barcode: Barcode | None = None
    nfc: Nfc | None = None
    semantics: Semantics | None = None
    featured_actions: (
        Annotated[list[FeaturedAction], Field(max_length=MAX_FEATURED_ACTIONS)] | None
    ) = None
    upcoming_pass_information: (
        Annotated[list[UpcomingPassInformation], Field(max_length=100)] | None
    ) = None

    boarding_pass: FieldGroups | None = None
    coupon: FieldGroups | None = None
    event_ticket: FieldGroups | None = None
    generic: FieldGroups | None = None
    store_card: FieldGroups | None = None
    poster_generic: FieldGroups | None = None

    def styles(self) -> dict[str, FieldGroups]:
        """By Apple's name of the style; a sound pass has one, or a poster and its twin."""
        found = {
            "boardingPass": self.boarding_pass,
            "coupon": self.coupon,
            "eventTicket": self.event_ticket,
            "generic": self.generic,
            "storeCard": self.store_card,
            "posterGeneric": self.poster_generic,
        }
        return {name: groups for name, groups in found.items() if groups is not None}

    def all_fields(self) -> Iterator[tuple[str, FieldContent]]:
        """Path and field, in all groups of all styles."""
        for style, groups in self.styles().items():
            for path, each in groups.all_fields():
                yield f"{style}.{path}", each
