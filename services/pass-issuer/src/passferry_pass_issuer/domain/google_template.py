"""What a template says for Google Wallet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_args

from passferry_pass_issuer.domain.value_expression import Format, ValueExpression

GoogleVertical = Literal[
    "loyalty", "giftCard", "offer", "eventTicket", "flight", "transit", "generic"
]
VERTICALS: tuple[GoogleVertical, ...] = get_args(GoogleVertical)

#: JSON in Google's own names; leaves are constants, `ValueExpression` or `FirstOf`.
Piece = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FirstOf:
    """The first of these that has a value."""

    expressions: tuple[ValueExpression, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """A text, and what it is in other languages, by their BCP 47 names."""

    text: str
    translations: Mapping[str, str] = field(default_factory=dict)


#: Words of the template, or a value of the pass.
Told = Words | ValueExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModuleContent:
    key: str
    header: Words
    body: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkContent:
    """In the class where the address is the same for every pass, else in the object."""

    key: str
    address: ValueExpression
    description: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageModuleContent:
    key: str
    address: ValueExpression
    description: Words | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMessageContent:
    """Every holder sees it, from the publication on; nobody is notified of it."""

    key: str
    header: Words
    body: Words
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondaryBalanceContent:
    label: Words
    value: ValueExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleBarcodeContent:
    """`format` is one of `google_modules.BARCODE_TYPES`."""

    format: str
    message: ValueExpression
    alternate_text: ValueExpression | None = None
    show_code_text: Told | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatingBarcodeContent:
    """`value_pattern` holds `{totp_value_0}` and `{totp_timestamp_millis}`, as Google defines them.

    `keys` are secrets of the pass, in hexadecimal: they belong into fields of the pass.
    """

    format: str
    value_pattern: ValueExpression
    period_ms: int
    keys: tuple[ValueExpression, ...]
    value_length: int
    alternate_text: ValueExpression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLinkContent:
    """An address, or on Android a package, for each platform."""

    display_text: Words | None = None
    android_uri: ValueExpression | None = None
    android_package: str | None = None
    web_uri: ValueExpression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartTapContent:
    redemption_issuers: tuple[str, ...]
    value: ValueExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingContent:
    group: ValueExpression
    sort_index: ValueExpression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationsContent:
    """Of generic passes alone; where both are asked for, Google tells of the expiry."""

    expiry: bool = False
    upcoming: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TierContent:
    """The class of passes whose tier is `value`; what it does not say is as in every class."""

    key: str
    value: str
    rewards_tier: Words
    hex_background_color: str | None = None
    hero_image_url: str | None = None
    logo_url: str | None = None
    class_piece: Piece = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiersContent:
    source: ValueExpression
    levels: tuple[TierContent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleContent:
    """`vertical` absent: it follows from the program's protocol.

    `class_piece` and `object_piece` are Google's own names, for whatever has no member here.
    """

    vertical: GoogleVertical | None = None
    #: Of all words that have no other.
    language: str = "en"
    issuer_name: Words
    #: Name of the loyalty program, title of the offer, name of the event.
    title: Words
    #: Of generic passes.
    header: Told | None = None
    subheader: Told | None = None
    logo_url: str | None = None
    wide_logo_url: str | None = None
    hero_image_url: str | None = None
    hex_background_color: str | None = None
    homepage_url: str | None = None
    country_code: str | None = None
    redemption_channel: str = "BOTH"
    holders_allowed: str | None = None
    balance_label: Words | None = None
    balance_format: Format = "integer"
    #: ISO 4217, when the balance is money; absent: the pass's unit.
    currency: str | None = None
    secondary_balance: SecondaryBalanceContent | None = None
    rewards_tier: Words | None = None
    rewards_tier_label: Words | None = None
    tiers: TiersContent | None = None
    account_name: ValueExpression | None = None
    account_id: ValueExpression | None = None
    barcode: GoogleBarcodeContent | None = None
    rotating_barcode: RotatingBarcodeContent | None = None
    text_modules: tuple[TextModuleContent, ...] = ()
    links: tuple[LinkContent, ...] = ()
    image_modules: tuple[ImageModuleContent, ...] = ()
    messages: tuple[ClassMessageContent, ...] = ()
    #: Latitude and longitude in degrees, as text.
    locations: tuple[tuple[str, str], ...] = ()
    app_link: AppLinkContent | None = None
    smart_tap: SmartTapContent | None = None
    valid_from: ValueExpression | None = None
    #: Absent: when the pass expires.
    valid_until: ValueExpression | None = None
    grouping: GroupingContent | None = None
    notifications: NotificationsContent | None = None
    #: None: Google's own way.
    are_screenshots_allowed: bool | None = None
    nfc_constraint: tuple[str, ...] = ()
    #: Fields of the example pass that a template is tried out with.
    example_values: Mapping[str, str | int | bool] = field(default_factory=dict)
    class_piece: Piece = field(default_factory=dict)
    object_piece: Piece = field(default_factory=dict)

    def expressions(self) -> list[ValueExpression]:
        """Whatever comes from a pass."""
        return list(expressions_in(self))


def expressions_in(node: Any) -> Iterator[ValueExpression]:
    """All leaves of a piece, or of a part of a template, that come from a pass."""
    if isinstance(node, ValueExpression):
        yield node
    elif isinstance(node, FirstOf):
        yield from node.expressions
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from expressions_in(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from expressions_in(value)
    elif is_dataclass(node):
        for member in fields(node):
            yield from expressions_in(getattr(node, member.name))
