"""Writes when and where a pass is of use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from passferry_wallet.apple.pass_content import Beacon, Location, PassContent, RelevantDate
from passferry_wallet.apple.pass_values import (
    clean_text,
    decimal_number,
    items_at_most,
    matching,
    positive,
    w3c_date,
)
from passferry_wallet.apple.rejections import PassContentRejected

MAX_LOCATIONS = 10
MAX_BEACONS = 10
MAX_RELEVANT_DATES = 10
MAX_INTERVAL = timedelta(hours=24)
MAX_UINT16 = 65535

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def add_relevance(written: dict[str, Any], content: PassContent) -> None:
    items_at_most(content.locations, MAX_LOCATIONS, "locations")
    items_at_most(content.beacons, MAX_BEACONS, "beacons")
    if content.locations:
        written["locations"] = [
            _location(location, f"locations.{index}")
            for index, location in enumerate(content.locations)
        ]
    if content.beacons:
        written["beacons"] = [
            _beacon(beacon, f"beacons.{index}") for index, beacon in enumerate(content.beacons)
        ]
    if content.max_distance_m is not None:
        written["maxDistance"] = positive(content.max_distance_m, "max_distance_m")
    if content.relevant_dates:
        written |= relevant_dates(content.relevant_dates)


def relevant_dates(dates: Sequence[RelevantDate]) -> dict[str, Any]:
    """The members that tell of one date or more. Raises PassContentRejected."""
    items_at_most(dates, MAX_RELEVANT_DATES, "relevant_dates")
    told = [_relevant_date(item, f"relevant_dates.{at}") for at, item in enumerate(dates)]
    first = told[0].get("startDate") or told[0]["date"]
    # Systems before the list read one alone.
    return {"relevantDates": told, "relevantDate": first}


def _location(location: Location, where: str) -> dict[str, Any]:
    written: dict[str, Any] = {
        "latitude": decimal_number(location.latitude, 90, f"{where}.latitude"),
        "longitude": decimal_number(location.longitude, 180, f"{where}.longitude"),
    }
    if location.altitude is not None:
        written["altitude"] = decimal_number(location.altitude, 100_000, f"{where}.altitude")
    if location.relevant_text is not None:
        written["relevantText"] = clean_text(location.relevant_text, where)
    return written


def _beacon(beacon: Beacon, where: str) -> dict[str, Any]:
    written: dict[str, Any] = {
        "proximityUUID": matching(_UUID, beacon.proximity_uuid, where, "must be a UUID")
    }
    for key, value in (("major", beacon.major), ("minor", beacon.minor)):
        if value is not None:
            if not 0 <= value <= MAX_UINT16:
                raise PassContentRejected("number_invalid", f"{where}.{key}", "fits 16 bits")
            written[key] = value
    if beacon.relevant_text is not None:
        written["relevantText"] = clean_text(beacon.relevant_text, where)
    return written


def _relevant_date(item: RelevantDate, where: str) -> dict[str, str]:
    start = w3c_date(item.start, where)
    if item.end is None:
        # iOS 18 reads the second name, later systems the first.
        return {"date": start, "relevantDate": start}
    end = w3c_date(item.end, where)
    if not timedelta(0) < item.end - item.start <= MAX_INTERVAL:
        raise PassContentRejected(
            "interval_invalid", where, "must end after it starts, within 24 hours"
        )
    return {"startDate": start, "endDate": end}
