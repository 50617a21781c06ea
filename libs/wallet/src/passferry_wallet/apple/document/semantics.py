"""What a pass means, in words that systems act upon: events, journeys, seats, money."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from passferry_wallet.apple.document.parts import (
    Colour,
    Currency,
    Latitude,
    Longitude,
    Number,
    Part,
    Text,
    ZonedDate,
)

EventType = Literal[
    "PKEventTypeGeneric",
    "PKEventTypeLivePerformance",
    "PKEventTypeMovie",
    "PKEventTypeSports",
    "PKEventTypeConference",
    "PKEventTypeConvention",
    "PKEventTypeWorkshop",
    "PKEventTypeSocialGathering",
]
#: A float would lose digits, so the amount is text.
Amount = Annotated[str, StringConstraints(pattern=r"^-?\d{1,18}(\.\d{1,9})?$")]
Texts = Annotated[list[Text], Field(max_length=100)]


class CurrencyAmount(Part):
    amount: Amount | None = None
    currency_code: Currency | None = None


class SemanticLocation(Part):
    latitude: Latitude
    longitude: Longitude
    altitude: Number | None = None


class Seat(Part):
    seat_description: Text | None = None
    seat_identifier: Text | None = None
    seat_number: Text | None = None
    seat_row: Text | None = None
    seat_section: Text | None = None
    seat_aisle: Text | None = None
    seat_level: Text | None = None
    seat_type: Text | None = None
    seat_section_color: Colour | None = None


class EventDateInfo(Part):
    """The day of an event whose hour, or whose day, is not certain."""

    date: Text | None = None
    ignore_time_components: bool | None = None
    time_zone: Text | None = None
    unannounced: bool | None = None
    undetermined: bool | None = None


class PersonName(Part):
    name_prefix: Text | None = None
    given_name: Text | None = None
    middle_name: Text | None = None
    family_name: Text | None = None
    name_suffix: Text | None = None
    nickname: Text | None = None
    phonetic_representation: Text | None = None


class WifiNetwork(Part):
    ssid: Text | None = None
    password: Text | None = Field(default=None, repr=False)


class EventSemantics(Part):
    admission_level: Text | None = None
    admission_level_abbreviation: Text | None = None
    additional_ticket_attributes: Text | None = None
    attendee_name: Text | None = None
    entrance_description: Text | None = None
    event_type: EventType | None = None
    event_name: Text | None = None
    event_start_date: ZonedDate | None = None
    event_start_date_info: EventDateInfo | None = None
    event_end_date: ZonedDate | None = None
    seats: Annotated[list[Seat], Field(max_length=100)] | None = None
    tailgating_allowed: bool | None = None
    venue_box_office_open_date: ZonedDate | None = None
    venue_close_date: ZonedDate | None = None
    venue_doors_open_date: ZonedDate | None = None
    venue_entrance: Text | None = None
    venue_entrance_door: Text | None = None
    venue_entrance_gate: Text | None = None
    venue_entrance_portal: Text | None = None
    venue_fan_zone_open_date: ZonedDate | None = None
    venue_gates_open_date: ZonedDate | None = None
    venue_location: SemanticLocation | None = None
    venue_name: Text | None = None
    venue_open_date: ZonedDate | None = None
    venue_parking_lots_open_date: ZonedDate | None = None
    venue_phone_number: Text | None = None
    venue_region_name: Text | None = None
    venue_room: Text | None = None
    away_team_abbreviation: Text | None = None
    away_team_location: Text | None = None
    away_team_name: Text | None = None
    home_team_abbreviation: Text | None = None
    home_team_location: Text | None = None
    home_team_name: Text | None = None
    league_abbreviation: Text | None = None
    league_name: Text | None = None
    sport_name: Text | None = None
    genre: Text | None = None
    album_ids: Texts | None = None
    artist_ids: Texts | None = None
    performer_names: Texts | None = None
    playlist_ids: Texts | None = None


class JourneySemantics(Part):
    airline_code: Text | None = None
    airline_lounge_place_id: Text | None = None
    passenger_capabilities: Texts | None = None
    boarding_group: Text | None = None
    boarding_zone: Text | None = None
    boarding_sequence_number: Text | None = None
    car_number: Text | None = None
    confirmation_number: Text | None = None
    current_arrival_date: ZonedDate | None = None
    current_boarding_date: ZonedDate | None = None
    current_departure_date: ZonedDate | None = None
    departure_airport_code: Text | None = None
    departure_airport_name: Text | None = None
    departure_airport_security_programs: Texts | None = None
    departure_airport_time_zone: Text | None = None
    departure_city_name: Text | None = None
    departure_gate: Text | None = None
    departure_location: SemanticLocation | None = None
    departure_location_description: Text | None = None
    departure_platform: Text | None = None
    departure_station_name: Text | None = None
    departure_terminal: Text | None = None
    destination_airport_code: Text | None = None
    destination_airport_name: Text | None = None
    destination_airport_security_programs: Texts | None = None
    destination_airport_time_zone: Text | None = None
    destination_city_name: Text | None = None
    destination_gate: Text | None = None
    destination_location: SemanticLocation | None = None
    destination_location_description: Text | None = None
    destination_platform: Text | None = None
    destination_station_name: Text | None = None
    destination_terminal: Text | None = None
    duration: Number | None = None
    flight_code: Text | None = None
    flight_number: int | None = None
    international_documents_are_verified: bool | None = None
    international_documents_verified_declaration_name: Text | None = None
    membership_program_name: Text | None = None
    membership_program_number: Text | None = None
    original_boarding_date: ZonedDate | None = None
    original_departure_date: ZonedDate | None = None
    original_arrival_date: ZonedDate | None = None
    passenger_airline_ssrs: Texts | None = None
    passenger_information_ssrs: Texts | None = None
    passenger_name: PersonName | None = None
    passenger_service_ssrs: Texts | None = None
    passenger_eligible_security_programs: Texts | None = None
    priority_status: Text | None = None
    security_screening: Text | None = None
    ticket_fare_class: Text | None = None
    transit_provider: Text | None = None
    transit_status: Text | None = None
    transit_status_reason: Text | None = None
    vehicle_name: Text | None = None
    vehicle_number: Text | None = None
    vehicle_type: Text | None = None


class Semantics(EventSemantics, JourneySemantics):
    balance: CurrencyAmount | None = None
    silence_requested: bool | None = None
    total_price: CurrencyAmount | None = None
    wifi_access: Annotated[list[WifiNetwork], Field(max_length=20)] | None = None


def wants_text(path: str) -> bool:
    """Whether the tag at the end of a path, such as `seats.0.seatNumber`, is a text or one of several."""
    names = [part for part in path.rsplit(".", 2) if not part.isdigit()]
    return bool(names) and names[-1] in _text_tags()


@functools.cache
def _text_tags() -> frozenset[str]:
    schema = Semantics.model_json_schema(by_alias=True)
    found: dict[str, bool] = {}
    for each in (schema, *schema["$defs"].values()):
        for name, member in each.get("properties", {}).items():
            found[name] = found.get(name, True) and _is_text(member)
    return frozenset(name for name, is_text in found.items() if is_text)


def _is_text(member: Mapping[str, Any]) -> bool:
    kinds = [each for each in member.get("anyOf", [member]) if each.get("type") != "null"]
    kinds = [each["items"] if each.get("type") == "array" else each for each in kinds]
    return all(each.get("type") == "string" for each in kinds)
