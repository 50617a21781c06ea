"""Events to come on one ticket (a season's matches), and actions on a pass."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from passferry_wallet.apple.document.fields import FieldList
from passferry_wallet.apple.document.parts import (
    Address,
    NeededText,
    Number,
    Part,
    StoreIdentifiers,
    Text,
    WebAddress,
    ZonedDate,
)
from passferry_wallet.apple.document.semantics import Semantics

MAX_IMAGE_BYTES = 2 * 1024 * 1024


class FeaturedAction(Part):
    identifier: NeededText
    type: NeededText
    url: Address | None = None


class VenueLinks(Part):
    """Links of a poster event ticket."""

    accessibility_url: WebAddress | None = None
    add_on_url: WebAddress | None = None
    bag_policy_url: WebAddress | None = None
    contact_venue_email: Text | None = None
    contact_venue_phone_number: Text | None = None
    contact_venue_website: WebAddress | None = None
    directions_information_url: WebAddress | None = None
    merchandise_url: WebAddress | None = None
    order_food_url: WebAddress | None = None
    parking_information_url: WebAddress | None = None
    purchase_parking_url: WebAddress | None = None
    sell_url: WebAddress | None = None
    transfer_url: WebAddress | None = None
    transit_information_url: WebAddress | None = None


class JourneyLinks(Part):
    """Links of a semantic boarding pass."""

    change_seat_url: WebAddress | None = None
    entertainment_url: WebAddress | None = None
    management_url: WebAddress | None = None
    purchase_additional_baggage_url: WebAddress | None = None
    purchase_lounge_access_url: WebAddress | None = None
    purchase_wifi_url: WebAddress | None = None
    register_service_animal_url: WebAddress | None = None
    report_lost_bag_url: WebAddress | None = None
    request_wheelchair_url: WebAddress | None = None
    transit_provider_email: Text | None = None
    transit_provider_phone_number: Text | None = None
    transit_provider_website_url: WebAddress | None = None
    upgrade_url: WebAddress | None = None


class DateInformation(Part):
    date: ZonedDate | None = None
    time_zone: Text | None = None
    ignore_time_components: bool | None = None
    is_all_day: bool | None = None
    is_unannounced: bool | None = None
    is_undetermined: bool | None = None


class RemoteImage(Part):
    """An image that devices fetch: https, and the bytes that its hash names."""

    url: Annotated[str, StringConstraints(pattern=r"^https://\S{1,1990}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
    scale: Annotated[Number, Field(ge=1, le=3)] | None = None
    size: Annotated[int, Field(gt=0, le=MAX_IMAGE_BYTES)] | None = None


class RemoteImages(Part):
    urls: Annotated[list[RemoteImage], Field(max_length=10)] | None = None
    reuse_existing: bool | None = None


class UpcomingImages(Part):
    header_image: RemoteImages | None = None
    venue_map: RemoteImages | None = None


class UpcomingPassInformation(Part):
    identifier: NeededText
    name: NeededText
    type: Literal["event"]
    is_active: bool | None = None
    date_information: DateInformation | None = None
    images: UpcomingImages | None = None
    urls: VenueLinks | None = None
    semantics: Semantics | None = None
    additional_info_fields: FieldList | None = None
    back_fields: FieldList | None = None
    auxiliary_store_identifiers: StoreIdentifiers | None = None
