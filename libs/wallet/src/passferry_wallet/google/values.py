"""Single values of class and object bodies: money, points, dates, images, texts."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

from passferry_wallet.clean_text import has_half_characters, without_controls
from passferry_wallet.google.content import Amount, GoogleContentRejected

MAX_SUFFIX_CHARACTERS = 128
MAX_TEXT_CHARACTERS = 8192
MAX_URL_CHARACTERS = 2000
MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1
MICRO_DIGITS = 6
MAX_SCALE = 9

_ISSUER_ID = re.compile(r"[0-9]{1,32}")
_SUFFIX = re.compile(r"[A-Za-z0-9._-]+")
_HEX_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_URL = re.compile(r"https?://[^\s\"<>\\^`{|}\x00-\x20\x7f]+")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*):[^\s\"<>\\^`{|}\x00-\x20\x7f]+", re.IGNORECASE)
#: What runs or reads something on the device that follows it.
_HARMFUL_SCHEMES = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})


def resource_id(issuer_id: str, suffix: str) -> str:
    """`{issuer}.{suffix}`, the name of a class or object for ever."""
    if not _ISSUER_ID.fullmatch(issuer_id):
        raise GoogleContentRejected("issuer_id_invalid", "issuer_id", "must be digits only")
    if len(suffix) > MAX_SUFFIX_CHARACTERS or not _SUFFIX.fullmatch(suffix):
        raise GoogleContentRejected(
            "suffix_invalid", "suffix", "must be letters, digits, dots, underscores and hyphens"
        )
    return f"{issuer_id}.{suffix}"


def text(value: str, where: str) -> str:
    return without_controls(verbatim(value, where))


def verbatim(value: str, where: str) -> str:
    if len(value) > MAX_TEXT_CHARACTERS:
        raise GoogleContentRejected("too_long", where, f"exceeds {MAX_TEXT_CHARACTERS} characters")
    if has_half_characters(value):
        raise GoogleContentRejected("not_unicode", where, "has half a character")
    return value


def localized(value: str, language: str, where: str) -> dict[str, Any]:
    return {"defaultValue": {"language": language, "value": text(value, where)}}


def url(address: str, where: str) -> str:
    """What Google itself fetches or calls."""
    if len(address) > MAX_URL_CHARACTERS or not _URL.fullmatch(address):
        raise GoogleContentRejected("url_invalid", where, "must be an http or https address")
    return address


def link(address: str, where: str) -> str:
    """What a person follows: also telephone numbers, e-mail addresses and places in apps."""
    found = _ADDRESS.fullmatch(address)
    if len(address) > MAX_URL_CHARACTERS or found is None:
        raise GoogleContentRejected(
            "url_invalid", where, "must be an address such as https:// or tel:"
        )
    if found[1].lower() in _HARMFUL_SCHEMES:
        raise GoogleContentRejected("url_invalid", where, f"may not begin with {found[1].lower()}:")
    return address


def hex_colour(value: str, where: str) -> str:
    if not _HEX_COLOUR.fullmatch(value):
        raise GoogleContentRejected("colour_invalid", where, "must be #RRGGBB")
    return value


def currency_code(value: str, where: str) -> str:
    if not _CURRENCY.fullmatch(value):
        raise GoogleContentRejected(
            "currency_invalid", where, "must be a code of ISO 4217, such as EUR"
        )
    return value


def money(amount: Amount, where: str) -> dict[str, str]:
    """Millionths as text, exact; an amount with finer parts than that is refused."""
    code = currency_code(amount.currency_code or "", where)
    _check_scale(amount.scale, where)
    micros, rest = divmod(amount.amount_minor * 10**MICRO_DIGITS, 10**amount.scale)
    if rest or abs(micros) > MAX_INT64:
        raise GoogleContentRejected(
            "amount_not_tellable", where, "does not fit 64 bits of millionths"
        )
    return {"micros": str(micros), "currencyCode": code}


def points(amount: Amount, where: str) -> dict[str, Any]:
    """A number where the API's 32 bits hold it, else text."""
    if amount.scale == 0 and abs(amount.amount_minor) <= MAX_INT32:
        return {"int": amount.amount_minor}
    return {"string": plain_number(amount, where)}


def plain_number(amount: Amount, where: str) -> str:
    """1250 and 2 give `12.50`; by integers alone."""
    _check_scale(amount.scale, where)
    whole, fraction = divmod(abs(amount.amount_minor), 10**amount.scale)
    sign = "-" if amount.amount_minor < 0 else ""
    scale = amount.scale
    return f"{sign}{whole}.{fraction:0{scale}d}" if scale else f"{sign}{whole}"


def amount_text(amount: Amount, where: str) -> str:
    """`12.50 EUR`, for places that take words alone."""
    number = plain_number(amount, where)
    return f"{number} {amount.currency_code}" if amount.currency_code else number


def moment(value: datetime, where: str) -> str:
    if value.utcoffset() is None:
        raise GoogleContentRejected("date_without_zone", where, "needs a time zone")
    return value.isoformat(timespec="seconds")


def day(value: datetime) -> str:
    """The one that its own zone has then."""
    return value.date().isoformat()


def check_interval(written: Any, where: str) -> None:
    """Raises GoogleContentRejected when it ends before it starts, or one side alone has a zone."""
    start, end = (_read_moment((written.get(side) or {}).get("date")) for side in ("start", "end"))
    if start is None or end is None:
        return
    if (start.tzinfo is None) != (end.tzinfo is None):
        raise GoogleContentRejected("interval_invalid", where, "needs a time zone on both sides")
    if end <= start:
        raise GoogleContentRejected("interval_invalid", where, "must end after it starts")


def _read_moment(written: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None


def degrees(value: float, most: int, where: str) -> float:
    """The API's type is a double; a position is no amount of money."""
    if not abs(value) <= most:
        raise GoogleContentRejected("number_invalid", where, f"must be between -{most} and {most}")
    return value


def double(value: int | str | Amount, where: str) -> float:
    """The nearest double. Never for money, which is told in millionths."""
    if isinstance(value, Amount):
        return float(Decimal(value.amount_minor).scaleb(-value.scale))
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise GoogleContentRejected("number_invalid", where, "must be a number") from None


def _check_scale(scale: int, where: str) -> None:
    if not 0 <= scale <= MAX_SCALE:
        raise GoogleContentRejected("number_invalid", where, f"has a scale of 0 to {MAX_SCALE}")
