"""Fields of a pass and the groups they stand in."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from passferry_wallet.apple.document.parts import Currency, Number, Part, Text, checked
from passferry_wallet.apple.document.semantics import Semantics
from passferry_wallet.apple.pass_fields import MAX_FIELDS_PER_GROUP, attributed_text
from passferry_wallet.apple.pass_values import zoned_date_text
from passferry_wallet.apple.rejections import PassContentRejected

FieldKey = Annotated[str, StringConstraints(min_length=1, max_length=200)]
DateStyle = Literal[
    "PKDateStyleNone",
    "PKDateStyleShort",
    "PKDateStyleMedium",
    "PKDateStyleLong",
    "PKDateStyleFull",
]
NumberStyle = Literal[
    "PKNumberStyleDecimal",
    "PKNumberStylePercent",
    "PKNumberStyleScientific",
    "PKNumberStyleSpellOut",
]
TextAlignment = Literal[
    "PKTextAlignmentLeft",
    "PKTextAlignmentCenter",
    "PKTextAlignmentRight",
    "PKTextAlignmentNatural",
]
DataDetector = Literal[
    "PKDataDetectorTypePhoneNumber",
    "PKDataDetectorTypeLink",
    "PKDataDetectorTypeAddress",
    "PKDataDetectorTypeCalendarEvent",
]
TransitType = Literal[
    "PKTransitTypeAir",
    "PKTransitTypeBoat",
    "PKTransitTypeBus",
    "PKTransitTypeTrain",
    "PKTransitTypeGeneric",
]


class FieldContent(Part):
    key: FieldKey
    value: Text | Number
    label: Text | None = None
    attributed_value: Annotated[str, AfterValidator(checked(attributed_text))] | Number | None = (
        None
    )
    change_message: Text | None = None
    text_alignment: TextAlignment | None = None
    data_detector_types: list[DataDetector] | None = None
    date_style: DateStyle | None = None
    time_style: DateStyle | None = None
    ignores_time_zone: bool | None = None
    is_relative: bool | None = None
    number_style: NumberStyle | None = None
    currency_code: Currency | None = None
    row: Literal[0, 1] | None = None
    semantics: Semantics | None = None

    @model_validator(mode="after")
    def _style_fits_the_value(self) -> Self:
        is_text = isinstance(self.value, str)
        if self.currency_code is not None and is_text:
            raise PydanticCustomError(
                "number_needed", "the value beside a currencyCode is a number, not a text"
            )
        if self.number_style is not None and is_text:
            raise PydanticCustomError(
                "number_needed", "the value beside a numberStyle is a number, not a text"
            )
        if self.date_style is not None or self.time_style is not None:
            _check_date(self.value)
        return self


def _check_date(value: str | int | Decimal) -> None:
    try:
        if isinstance(value, str):
            zoned_date_text(value, "")
            return
    except PassContentRejected as refusal:
        raise PydanticCustomError(refusal.code, "{detail}", {"detail": refusal.detail}) from None
    raise PydanticCustomError(
        "date_needed", "the value beside a date style is a date with its zone, not a number"
    )


FieldList = Annotated[list[FieldContent], Field(max_length=MAX_FIELDS_PER_GROUP)]


class FieldGroups(Part):
    """What stands under the key of a style."""

    header_fields: FieldList | None = None
    primary_fields: FieldList | None = None
    secondary_fields: FieldList | None = None
    auxiliary_fields: FieldList | None = None
    back_fields: FieldList | None = None
    additional_info_fields: FieldList | None = None
    #: Posters show the first.
    footer_fields: FieldList | None = None
    transit_type: TransitType | None = None

    def all_fields(self) -> Iterator[tuple[str, FieldContent]]:
        """Path within the style, and field."""
        for name, group in (
            ("headerFields", self.header_fields),
            ("primaryFields", self.primary_fields),
            ("secondaryFields", self.secondary_fields),
            ("auxiliaryFields", self.auxiliary_fields),
            ("backFields", self.back_fields),
            ("additionalInfoFields", self.additional_info_fields),
            ("footerFields", self.footer_fields),
        ):
            for position, each in enumerate(group or ()):
                yield f"{name}.{position}", each
