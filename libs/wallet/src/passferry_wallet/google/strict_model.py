"""What the models of Google's API have in common, and its number types."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_MAX_INT64 = 2**63 - 1


class GoogleModel(BaseModel):
    """Takes nothing that the API would not take: no unknown key, no number where text belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


def _within_64_bits(text: str) -> str:
    if not -_MAX_INT64 - 1 <= int(text) <= _MAX_INT64:
        raise ValueError("is beyond 64 bits")
    return text


Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
#: The API writes 64 bits as text, so that no reader rounds them.
Int64Text = Annotated[str, Field(pattern=r"^-?[0-9]{1,19}$"), AfterValidator(_within_64_bits)]
Double = Annotated[float, Field(allow_inf_nan=False)]
