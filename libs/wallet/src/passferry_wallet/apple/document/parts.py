"""What the parts of pass.json share: Apple's names, and the checks of single values."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from passferry_wallet.apple import pass_values
from passferry_wallet.apple.rejections import PassContentRejected

MAX_ADDRESS_CHARACTERS = 2_000


_CAPITALS = (
    (re.compile(r"Urls\Z"), "URLs"),
    (re.compile(r"Url\Z"), "URL"),
    (re.compile(r"Uuid\Z"), "UUID"),
    (re.compile(r"(?<=[a-z])Ids\Z"), "IDs"),
    (re.compile(r"(?<=[a-z])Id\Z"), "ID"),
    (re.compile(r"Ssrs\Z"), "SSRs"),
)


def apple_name(name: str) -> str:
    """`web_service_url` in Apple's spelling: `webServiceURL`."""
    found = to_camel(name)
    for pattern, capitals in _CAPITALS:
        found = pattern.sub(capitals, found)
    return found


class Part(BaseModel):
    """A JSON object of Apple's. Keys that we do not know are kept: newer systems may read them."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        strict=True,
        alias_generator=apple_name,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


def checked(check: Callable[[str, str], Any]) -> Callable[[str], str]:
    """One of the writer's own checks, as a validator; the text itself is kept as it is."""

    def validate(text: str) -> str:
        try:
            check(text, "")
        except PassContentRejected as refusal:
            raise PydanticCustomError(
                refusal.code, "{detail}", {"detail": refusal.detail}
            ) from None
        return text

    return validate


Number = int | Decimal
Text = Annotated[str, AfterValidator(checked(pass_values.clean_text))]

NeededText = Annotated[str, AfterValidator(checked(pass_values.required_text))]
ZonedDate = Annotated[str, AfterValidator(checked(pass_values.zoned_date_text))]
Colour = Annotated[str, AfterValidator(checked(pass_values.colour))]
Currency = Annotated[str, AfterValidator(checked(pass_values.currency_code))]
WebAddress = Annotated[str, AfterValidator(checked(pass_values.url))]
#: Apps are opened by addresses with schemes of their own.
Address = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ADDRESS_CHARACTERS)]
Latitude = Annotated[Number, Field(ge=-90, le=90)]
Longitude = Annotated[Number, Field(ge=-180, le=180)]
StoreIdentifier = Annotated[int, Field(gt=0, lt=2**53)]
StoreIdentifiers = Annotated[list[StoreIdentifier], Field(max_length=20)]
