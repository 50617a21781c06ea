"""Single values of class and object bodies: money, points, dates, images, texts."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

from passferry_wallet.clean_text import has_half_characters, without_controls
from passferry_wallet.google.content import Balance, GoogleContentRejected

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


def resource_id(issuer_id: str, suffix: str) -> str:
    """`{issuer}.{suffix}`, the name of a class or object for ever."""
    if not _ISSUER_ID.fullmatch(issuer_id):
        raise GoogleContentRejected("issuer_id_invalid", "issuer_id", "is digits only")
    if len(suffix) > MAX_SUFFIX_CHARACTERS or not _SUFFIX.fullmatch(suffix):
        raise GoogleContentRejected(
            "suffix_invalid", "suffix", "is letters, digits, dots, underscores and hyphens"
        )
    return f"{issuer_id}.{suffix}"


def text(value: str, where: str) -> str:
    if len(value) > MAX_TEXT_CHARACTERS:
        raise GoogleContentRejected("too_long", where, f"exceeds {MAX_TEXT_CHARACTERS} characters")
    if has_half_characters(value):
        raise GoogleContentRejected("not_unicode", where, "has half a character")
    return without_controls(value)


def localized(value: str, language: str, where: str) -> dict[str, Any]:
    return {"defaultValue": {"language": language, "value": text(value, where)}}


def image(address: str, where: str) -> dict[str, Any]:
    return {"sourceUri": {"uri": url(address, where)}}


def url(address: str, where: str) -> str:
    if len(address) > MAX_URL_CHARACTERS or not _URL.fullmatch(address):
        raise GoogleContentRejected("url_invalid", where, "is an http or https address")
    return address


def hex_colour(value: str, where: str) -> str:
    if not _HEX_COLOUR.fullmatch(value):
        raise GoogleContentRejected("colour_invalid", where, "is #RRGGBB")
    return value


def money(amount_minor: int, scale: int, currency_code: str) -> dict[str, str]:
    """Millionths as text, exact; an amount with finer parts than that is refused."""
    if not _CURRENCY.fullmatch(currency_code):
        raise GoogleContentRejected(
            "currency_invalid", "balance.currency_code", "is a code of ISO 4217, such as EUR"
        )
    _check_scale(scale)
    micros, rest = divmod(amount_minor * 10**MICRO_DIGITS, 10**scale)
    if rest or abs(micros) > MAX_INT64:
        raise GoogleContentRejected(
            "amount_not_tellable", "balance.amount_minor", "does not fit 64 bits of millionths"
        )
    return {"micros": str(micros), "currencyCode": currency_code}


def points(amount_minor: int, scale: int) -> dict[str, Any]:
    """A number where the API's 32 bits hold it, else text."""
    if scale == 0 and abs(amount_minor) <= MAX_INT32:
        return {"int": amount_minor}
    return {"string": plain_number(amount_minor, scale)}


def plain_number(amount_minor: int, scale: int) -> str:
    """1250 and 2 give `12.50`; by integers alone."""
    _check_scale(scale)
    whole, fraction = divmod(abs(amount_minor), 10**scale)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}.{fraction:0{scale}d}" if scale else f"{sign}{whole}"


def balance_text(balance: Balance) -> str:
    """For verticals that have no balance of their own."""
    number = plain_number(balance.amount_minor, balance.scale)
    return f"{number} {balance.currency_code}" if balance.currency_code else number


def date(moment: datetime, where: str) -> dict[str, str]:
    if moment.utcoffset() is None:
        raise GoogleContentRejected("date_without_zone", where, "needs a time zone")
    return {"date": moment.isoformat(timespec="seconds")}


def interval(start: datetime | None, end: datetime | None, where: str) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if start is not None:
        written["start"] = date(start, where)
    if end is not None:
        written["end"] = date(end, where)
    if start is not None and end is not None and end <= start:
        raise GoogleContentRejected("interval_invalid", where, "ends after it starts")
    return written


def degrees(value: Decimal, most: int, where: str) -> float:
    """The API's type is a double; a position is no amount of money."""
    if not value.is_finite() or abs(value) > most:
        raise GoogleContentRejected("number_invalid", where, f"is between -{most} and {most}")
    return float(value)


def _check_scale(scale: int) -> None:
    if not 0 <= scale <= MAX_SCALE:
        raise GoogleContentRejected("number_invalid", "balance.scale", f"is 0 to {MAX_SCALE}")
