"""When and where a pass is of use."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from passferry_wallet.apple.document.parts import (
    Latitude,
    Longitude,
    Number,
    Part,
    Text,
    ZonedDate,
)
from passferry_wallet.apple.pass_relevance import MAX_INTERVAL, MAX_UINT16

_UUID = r"^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_Uint16 = Annotated[int, Field(ge=0, le=MAX_UINT16)]


class Location(Part):
    latitude: Latitude
    longitude: Longitude
    altitude: Number | None = None
    relevant_text: Text | None = None


class Beacon(Part):
    proximity_uuid: Annotated[str, StringConstraints(pattern=_UUID)]
    major: _Uint16 | None = None
    minor: _Uint16 | None = None
    relevant_text: Text | None = None


class RelevantDate(Part):
    """A moment, or an interval of at most a day. iOS 18 named the moment `relevantDate`."""

    date: ZonedDate | None = None
    relevant_date: ZonedDate | None = None
    start_date: ZonedDate | None = None
    end_date: ZonedDate | None = None

    @model_validator(mode="after")
    def _is_moment_or_interval(self) -> Self:
        has_moment = self.date is not None or self.relevant_date is not None
        has_interval = self.start_date is not None and self.end_date is not None
        if not has_moment and not has_interval:
            raise PydanticCustomError(
                "date_missing", "needs a date, or a startDate with its endDate"
            )
        if self.start_date is not None and self.end_date is not None:
            length = datetime.fromisoformat(self.end_date) - datetime.fromisoformat(self.start_date)
            if not timedelta(0) < length <= MAX_INTERVAL:
                raise PydanticCustomError(
                    "interval_invalid", "must end after it starts, within 24 hours"
                )
        return self
