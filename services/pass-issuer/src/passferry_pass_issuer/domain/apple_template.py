"""What a template says for Apple Wallet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from passferry_pass_issuer.domain.json_pattern import JsonPattern, Members, pattern_expressions
from passferry_pass_issuer.domain.value_expression import BarcodeContent, ValueExpression

GROUPS = ("header", "primary", "secondary", "auxiliary", "back", "additional_info", "footer")
STYLES = ("storeCard", "coupon", "eventTicket", "generic", "boardingPass", "posterGeneric")
TRANSIT_TYPES = ("Air", "Boat", "Bus", "Train", "Generic")
STYLE_SCHEMES = ("posterEventTicket", "eventTicket", "semanticBoardingPass", "boardingPass")
#: The last four need iOS 27, so another stands behind them.
BARCODE_FORMATS = ("qr", "pdf417", "aztec", "code128", "ean13", "code39", "codabar", "i2of5")

#: Links of poster event tickets and of semantic boarding passes, with Apple's names.
LINKS: Mapping[str, str] = {
    "accessibility_url": "accessibilityURL",
    "add_on_url": "addOnURL",
    "bag_policy_url": "bagPolicyURL",
    "change_seat_url": "changeSeatURL",
    "contact_venue_email": "contactVenueEmail",
    "contact_venue_phone_number": "contactVenuePhoneNumber",
    "contact_venue_website": "contactVenueWebsite",
    "directions_information_url": "directionsInformationURL",
    "entertainment_url": "entertainmentURL",
    "management_url": "managementURL",
    "merchandise_url": "merchandiseURL",
    "order_food_url": "orderFoodURL",
    "parking_information_url": "parkingInformationURL",
    "purchase_additional_baggage_url": "purchaseAdditionalBaggageURL",
    "purchase_lounge_access_url": "purchaseLoungeAccessURL",
    "purchase_parking_url": "purchaseParkingURL",
    "purchase_wifi_url": "purchaseWifiURL",
    "register_service_animal_url": "registerServiceAnimalURL",
    "report_lost_bag_url": "reportLostBagURL",
    "request_wheelchair_url": "requestWheelchairURL",
    "sell_url": "sellURL",
    "transfer_url": "transferURL",
    "transit_information_url": "transitInformationURL",
    "transit_provider_email": "transitProviderEmail",
    "transit_provider_phone_number": "transitProviderPhoneNumber",
    "transit_provider_website_url": "transitProviderWebsiteURL",
    "upgrade_url": "upgradeURL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldContent:
    """Styles are named without Apple's prefix: `Short`, `Right`, `Percent`."""

    key: str
    value: ValueExpression
    label: str | None = None
    #: What the lock screen says when the value changed; `%@` stands for the new value.
    change_message: str | None = None
    #: The value with links in it.
    attributed_value: ValueExpression | None = None
    #: ISO 4217, with the format `currency`; absent: the pass's unit.
    currency: str | None = None
    date_style: str | None = None
    time_style: str | None = None
    is_relative: bool = False
    #: None: a day without a time does.
    ignores_time_zone: bool | None = None
    number_style: str | None = None
    text_alignment: str | None = None
    #: None: as the system likes; empty: nothing is detected.
    data_detectors: tuple[str, ...] | None = None
    row: int | None = None
    semantics: JsonPattern | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationContent:
    """Degrees and metres as the decimal text they were given in, so that rendering is exact."""

    latitude: str
    longitude: str
    altitude: str | None = None
    relevant_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconContent:
    proximity_uuid: str
    major: int | None = None
    minor: int | None = None
    relevant_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelevantDateContent:
    """A moment, or with `end` an interval of at most 24 hours."""

    start: ValueExpression
    end: ValueExpression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NfcContent:
    message: ValueExpression
    encryption_public_key: str
    is_authentication_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturedActionContent:
    identifier: str
    type: str
    url: ValueExpression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppleContent:
    style: str
    organization_name: str
    description: str
    transit_type: str | None = None
    preferred_style_schemes: tuple[str, ...] = ()
    logo_text: str | None = None
    background_color: str | None = None
    foreground_color: str | None = None
    label_color: str | None = None
    strip_color: str | None = None
    footer_background_color: str | None = None
    #: Group (one of `GROUPS`) to its fields, in order.
    fields: Mapping[str, tuple[FieldContent, ...]] = field(default_factory=dict)
    #: The preferred one first.
    barcodes: tuple[BarcodeContent, ...] = ()
    nfc: NfcContent | None = None
    locations: tuple[LocationContent, ...] = ()
    beacons: tuple[BeaconContent, ...] = ()
    max_distance_m: int | None = None
    relevant_dates: tuple[RelevantDateContent, ...] = ()
    semantics: JsonPattern | None = None
    featured_actions: tuple[FeaturedActionContent, ...] = ()
    #: Name (one of `LINKS`) to its address.
    links: Mapping[str, ValueExpression] = field(default_factory=dict)
    grouping_identifier: ValueExpression | None = None
    associated_store_identifiers: tuple[int, ...] = ()
    auxiliary_store_identifiers: tuple[int, ...] = ()
    app_launch_url: ValueExpression | None = None
    is_sharing_prohibited: bool = False
    #: When a pass for which nobody said it expires: so long after it was issued, or then.
    expires_after_days: int | None = None
    expires_at: datetime | None = None
    #: Values of the example pass that a draft is tried out with: by name of the field, or
    #: `pass.code`.
    example_values: Mapping[str, str | int | bool] = field(default_factory=dict)
    #: Language to text to its translation.
    strings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: More of pass.json in Apple's own names; what the members above say comes first.
    document: Members | None = None

    def expressions(self) -> Iterator[ValueExpression | None]:
        for group in self.fields.values():
            for item in group:
                yield from (item.value, item.attributed_value)
                yield from pattern_expressions(item.semantics)
        for barcode in self.barcodes:
            yield from (barcode.message, barcode.alternate_text)
        if self.nfc is not None:
            yield self.nfc.message
        for each in self.relevant_dates:
            yield from (each.start, each.end)
        yield from (action.url for action in self.featured_actions)
        yield from self.links.values()
        yield from (self.grouping_identifier, self.app_launch_url)
        yield from pattern_expressions(self.semantics)
        yield from pattern_expressions(self.document)

    def expiry_of(self, issued_at: datetime) -> datetime | None:
        if self.expires_after_days is not None:
            return issued_at + timedelta(days=self.expires_after_days)
        return self.expires_at
