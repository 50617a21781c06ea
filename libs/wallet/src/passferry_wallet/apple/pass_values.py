"""Single values of pass.json: texts, dates, exact numbers, colours, addresses."""

from __future__ import annotations

import re
from collections.abc import Sized
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import orjson

from passferry_wallet.apple.rejections import PassContentRejected
from passferry_wallet.clean_text import has_half_characters, without_controls

MAX_TEXT_CHARACTERS = 8192
MAX_URL_CHARACTERS = 2000
MAX_SCALE = 9
MAX_INTEGER = 2**63 - 1

_RGB = re.compile(r"rgb\(\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*\)")
_HEX = re.compile(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
_URL = re.compile(r"https?://[^\s\"<>\\^`{|}\x00-\x20\x7f]+")
_CURRENCY = re.compile(r"[A-Z]{3}")
_ZONED_DATE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)", re.ASCII
)
_MAX_COLOUR = 255
_OLDEST_YEAR = 1000
_MINUTE = timedelta(minutes=1)
#: The encoder reads these, and is the quickest to write a date.
_PLAIN_ZONES = frozenset({timezone, ZoneInfo})


def clean_text(text: str, where: str) -> str:
    """The text without characters that hide or disturb; raises where it is no text at all."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise PassContentRejected(
            "too_long", where, f"is longer than {MAX_TEXT_CHARACTERS} characters"
        )
    if text.isprintable():
        # Nearly every text, and then there is nothing in it to find.
        return text
    if has_half_characters(text):
        raise PassContentRejected("not_unicode", where, "has half a character")
    return without_controls(text)


def required_text(text: str, where: str) -> str:
    cleaned = clean_text(text, where)
    if not cleaned.strip():
        raise PassContentRejected("required", where, "is required")
    return cleaned


def w3c_date(moment: datetime, where: str) -> str:
    """`2030-01-31T12:00:00Z` or with `+02:00`; the zone is compulsory."""
    offset = moment.utcoffset()
    if offset is None:
        raise PassContentRejected("date_without_zone", where, "needs a time zone")
    if offset % _MINUTE or moment.year < _OLDEST_YEAR:
        raise PassContentRejected("date_invalid", where, "has no form that devices read")
    if type(moment) is datetime and type(moment.tzinfo) in _PLAIN_ZONES:
        written = orjson.dumps(moment, option=orjson.OPT_OMIT_MICROSECONDS)[1:-1].decode()
    else:
        written = moment.isoformat(timespec="seconds")
    return written if offset else f"{written.removesuffix('+00:00')}Z"


def zoned_date_text(text: str, where: str) -> str:
    """Checks a date that is already text."""
    if not _ZONED_DATE.fullmatch(text):
        raise PassContentRejected(
            "date_without_zone", where, "must be YYYY-MM-DDTHH:MM:SS followed by Z or +HH:MM"
        )
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise PassContentRejected("date_invalid", where, "is no date of the calendar") from error
    return text


def exact_number(unscaled: int, scale: int, where: str) -> int | orjson.Fragment:
    """`unscaled` / 10**`scale` as a JSON number with all its digits, by integers alone."""
    if not 0 <= scale <= MAX_SCALE:
        raise PassContentRejected("number_invalid", where, f"must have 0 to {MAX_SCALE} decimals")
    if abs(unscaled) > MAX_INTEGER:
        raise PassContentRejected("number_too_large", where, "does not fit 64 bits")
    if scale == 0:
        return unscaled
    whole, fraction = divmod(abs(unscaled), 10**scale)
    sign = "-" if unscaled < 0 else ""
    return orjson.Fragment(f"{sign}{whole}.{fraction:0{scale}d}".encode())


def decimal_number(value: Decimal, most: int, where: str) -> orjson.Fragment:
    """A decimal between -`most` and `most`, in plain digits."""
    if not value.is_finite() or abs(value) > most:
        raise PassContentRejected("number_invalid", where, f"must be between -{most} and {most}")
    digits = f"{value:f}"
    if len(digits) > len(str(most)) + 20:
        raise PassContentRejected("number_invalid", where, "has too many decimals")
    return orjson.Fragment(digits.encode() if value else b"0")


def currency_code(code: str, where: str) -> str:
    if not _CURRENCY.fullmatch(code):
        raise PassContentRejected(
            "currency_invalid", where, "must be a code of ISO 4217, such as EUR"
        )
    return code


def colour(text: str, where: str) -> str:
    rgb = _RGB.fullmatch(text)
    if rgb and all(int(part) <= _MAX_COLOUR for part in rgb.groups()):
        return f"rgb({rgb[1]},{rgb[2]},{rgb[3]})"
    if _HEX.fullmatch(text):
        return text
    raise PassContentRejected("colour_invalid", where, "must be rgb(r,g,b), #RGB or #RRGGBB")


def url(text: str, where: str) -> str:
    if len(text) > MAX_URL_CHARACTERS or not _URL.fullmatch(text):
        raise PassContentRejected("url_invalid", where, "must be an http or https address")
    return text


def items_at_most(items: Sized, most: int, where: str) -> None:
    if len(items) > most:
        raise PassContentRejected("too_many", where, f"has more than {most} items")


def matching(pattern: re.Pattern[str], text: str, where: str, rule: str) -> str:
    if not pattern.fullmatch(text):
        raise PassContentRejected("invalid", where, rule)
    return text


def positive(number: int, where: str) -> int:
    if not 0 < number < 2**53:
        raise PassContentRejected("number_invalid", where, "must be a positive number")
    return number
