"""A program's rules and thresholds, which `program.changed` carries as free-form JSON.

Whoever makes a program and whoever obeys it read them here. Every member has a default but those
of a rule that says nothing without them, so `{}` are valid rules and `[]` valid thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from passferry_contracts.fields import AmountMinor, Name, Part, PositiveMinor, ShortText, Unit
from passferry_contracts.types import MAX_AMOUNT_MINOR

MAX_LEVELS = 16
MAX_THRESHOLDS = 32
MAX_DAYS = 3_650
HOLD_DEFAULT_S = 604_800
HOLD_MOST_S = 2_678_400
WHOLE_PERCENT = 100

#: Zones that are files of one machine, or count leap seconds.
_NO_ZONES = ("posix", "right", "localtime", "Factory")


def _zone(name: str) -> str:
    try:
        if name.startswith(_NO_ZONES):
            raise ValueError(name)
        ZoneInfo(name)
    # A KeyError for what is unknown, an OSError for a folder such as `Europe`.
    except (KeyError, ValueError, OSError) as error:
        raise PydanticCustomError(
            "zone_unknown", "is no known time zone; give a name such as Europe/Berlin"
        ) from error
    return name


def _refusal(code: str, message: str, *place: str | int) -> ValidationError:
    """For a fault of a member deeper than the one that is being read."""
    fault = InitErrorDetails(type=PydanticCustomError(code, message), loc=place, input=None)
    return ValidationError.from_exception_data("rules", [fault])


def _by_kind(models: Mapping[str, type[Part]]) -> WrapValidator:
    """Reads the one model that `kind` names, so that a fault has the same path as in the JSON;
    a plain union would put the kind's name into the path."""
    message = f"must be one of {', '.join(models)}"

    def read(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, Mapping):
            return handler(value)
        kind = value.get("kind")
        model = models.get(kind) if isinstance(kind, str) else None
        if model is None:
            raise _refusal("kind_unknown", message, "kind")
        return model.model_validate(value)

    return WrapValidator(read)


def _whole(least: int, most: int) -> Any:
    return Field(strict=True, ge=least, le=most)


Days = Annotated[int, _whole(1, MAX_DAYS)]
UpToAYear = Annotated[int, _whole(0, 365)]
NonNegativeMinor = Annotated[int, _whole(0, MAX_AMOUNT_MINOR)]
TimeZone = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$"), AfterValidator(_zone)
]


class EarnRule(Part):
    """`points` for each `per_minor` of a purchase in `purchase_unit`, in proportion, rounded down.

    Amounts are in the minor units of `purchase_unit`; a purchase below `minimum_purchase_minor`
    earns nothing.
    """

    points: PositiveMinor
    per_minor: PositiveMinor
    purchase_unit: Unit
    minimum_purchase_minor: NonNegativeMinor = 0


class RedeemRule(Part):
    """What one redemption may spend, in the program's minor units; None does not bind."""

    minimum_minor: PositiveMinor | None = None
    maximum_minor: PositiveMinor | None = None

    @field_validator("maximum_minor")
    @classmethod
    def _maximum_is_not_below_minimum(cls, value: int | None, info: ValidationInfo) -> int | None:
        minimum = info.data.get("minimum_minor")
        if value is not None and minimum is not None and value < minimum:
            raise PydanticCustomError("maximum_too_low", "must not be below minimum_minor")
        return value


class AfterDays(Part):
    """Points expire so many days after they were earned."""

    kind: Literal["after_days"]
    days: Days


class EndOfMonth(Part):
    """Points expire with the month they were earned in, or so many months after it."""

    kind: Literal["end_of_month"]
    months: Annotated[int, _whole(0, 120)]


class EndOfYear(Part):
    """Points expire with the year they were earned in, or so many years after it."""

    kind: Literal["end_of_year"]
    years: Annotated[int, _whole(0, 10)]


class Rolling(Part):
    """All points of a pass expire together, so many days after its last activity."""

    kind: Literal["rolling"]
    days: Days


ExpiryRule = Annotated[
    Annotated[AfterDays | EndOfMonth | EndOfYear | Rolling, Field(discriminator="kind")],
    _by_kind(
        {
            "after_days": AfterDays,
            "end_of_month": EndOfMonth,
            "end_of_year": EndOfYear,
            "rolling": Rolling,
        }
    ),
]


class HoldRule(Part):
    """A hold that nobody captures or releases ends by itself after so many seconds."""

    expire_after_s: Annotated[int, _whole(60, HOLD_MOST_S)] = HOLD_DEFAULT_S


class CheckInRule(Part):
    """With `re_entry`, a ticket that was checked in may be checked in again."""

    re_entry: StrictBool = False


class TierLevel(Part):
    """Reached at `from_minor` earned points; `earn_percent` of 150 earns half as much again."""

    name: Name
    from_minor: PositiveMinor
    earn_percent: Annotated[int, _whole(1, 10_000)] = WHOLE_PERCENT


class TierRule(Part):
    """Levels from low to high; what was earned within `valid_days` reaches or keeps one."""

    valid_days: Days = 365
    levels: Annotated[
        tuple[TierLevel, ...], Field(max_length=MAX_LEVELS, json_schema_extra={"minItems": 1})
    ]

    @field_validator("levels")
    @classmethod
    def _levels_ascend_under_their_own_names(
        cls, levels: tuple[TierLevel, ...]
    ) -> tuple[TierLevel, ...]:
        # Not as a bound of the field, which counts the faulty levels as missing.
        if not levels:
            raise PydanticCustomError("levels_missing", "must have at least one level")
        names: set[str] = set()
        below = 0
        for place, level in enumerate(levels):
            if level.from_minor <= below:
                raise _refusal(
                    "levels_unordered", "must be above the level before it", place, "from_minor"
                )
            if level.name in names:
                raise _refusal("name_taken", "must be unlike the other levels'", place, "name")
            below = level.from_minor
            names.add(level.name)
        return levels


class ProgramRules(Part):
    """What a program's points and passes do. Days begin and end at midnight of `time_zone`."""

    #: A name of the tz database.
    time_zone: TimeZone = "UTC"
    #: None: nothing is earned by a purchase.
    earn: EarnRule | None = None
    redeem: RedeemRule | None = None
    #: None: points never expire.
    expiry: ExpiryRule | None = None
    #: What was earned cannot be spent before so many days.
    pending_days: UpToAYear = 0
    #: Points that expire within so many days are announced; 0: nothing is.
    announce_expiry_days: UpToAYear = 0
    hold: HoldRule = HoldRule()
    check_in: CheckInRule = CheckInRule()
    tiers: TierRule | None = None

    @field_validator("pending_days")
    @classmethod
    def _pending_ends_before_the_expiry(cls, value: int, info: ValidationInfo) -> int:
        expiry = info.data.get("expiry")
        if value and isinstance(expiry, Rolling):
            raise PydanticCustomError("pending_not_allowed", "must be 0 with a rolling expiry")
        if isinstance(expiry, AfterDays) and value >= expiry.days:
            raise PydanticCustomError("pending_too_long", "must be fewer than expiry.days")
        return value


class LowBalance(Part):
    """Crossed when the balance falls below an amount in the program's minor units, or below a
    percentage of the balance after the last credit: exactly one of the two."""

    kind: Literal["low_balance"]
    below_minor: AmountMinor | None = None
    below_percent: Annotated[int, _whole(1, 99)] | None = None
    name: ShortText | None = None

    @model_validator(mode="after")
    def _has_one_line(self) -> LowBalance:
        if (self.below_minor is None) == (self.below_percent is None):
            raise PydanticCustomError(
                "one_of_two", "give exactly one of below_minor and below_percent"
            )
        return self


class ThresholdReached(Part):
    """Crossed when the balance rises to `at_minor`, in the program's minor units; with `every`, to
    each multiple of it."""

    kind: Literal["threshold_reached"]
    at_minor: PositiveMinor
    every: StrictBool = False
    name: ShortText


Threshold = Annotated[
    Annotated[LowBalance | ThresholdReached, Field(discriminator="kind")],
    _by_kind({"low_balance": LowBalance, "threshold_reached": ThresholdReached}),
]
Thresholds = Annotated[tuple[Threshold, ...], Field(max_length=MAX_THRESHOLDS)]

_THRESHOLDS: TypeAdapter[tuple[LowBalance | ThresholdReached, ...]] = TypeAdapter(Thresholds)


def parse_rules(rules: Mapping[str, Any]) -> ProgramRules:
    """The rules of a program from their JSON object.

    Amounts are integers of minor units, days are calendar days of `time_zone`, holds are counted
    in seconds. Raises pydantic's `ValidationError`, whose locations are paths into `rules`, such
    as `("tiers", "levels", 1, "from_minor")`.
    """
    return ProgramRules.model_validate(rules)


def parse_thresholds(
    thresholds: Sequence[Mapping[str, Any]],
) -> tuple[LowBalance | ThresholdReached, ...]:
    """The thresholds of a program, at most 32, from their JSON list, in its order.

    Amounts are integers of the program's minor units, percentages are whole. Raises pydantic's
    `ValidationError`, whose locations are paths into `thresholds`, such as `(0, "below_minor")`.
    """
    return _THRESHOLDS.validate_python(thresholds)
