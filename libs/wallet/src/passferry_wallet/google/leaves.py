"""Single members of bodies: each value in the form that Google wants at its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from passferry_wallet.google.content import Amount, GoogleContentRejected, Value
from passferry_wallet.google.shapes import Choice, Many, Part, Shape
from passferry_wallet.google.values import (
    MAX_INT32,
    MAX_INT64,
    amount_text,
    currency_code,
    day,
    degrees,
    double,
    hex_colour,
    link,
    localized,
    moment,
    money,
    plain_number,
    points,
    text,
    url,
    verbatim,
)

_FLAGS = {"true": True, "True": True, "false": False, "False": False}

#: Members that have a form of their own, by their name.
_TEXT_CHECKS: Mapping[str, Callable[[str, str], str]] = {
    "hexBackgroundColor": hex_colour,
    "currencyCode": currency_code,
}
#: Read by machines: not a character of them may change.
_VERBATIM = frozenset({"smartTapRedemptionValue", "valuePattern"})
_DEGREES = {"latitude": 90, "longitude": 180}


def constant(value: Any, shape: Shape, path: str, language: str) -> Any:
    """What a template says itself: of Google's own type, or text where an object can be made of it.

    Raises GoogleContentRejected.
    """
    if isinstance(shape, Part):
        if not isinstance(value, str):
            raise GoogleContentRejected("invalid", path, "must be an object")
        return converter(shape, path, language)(value)
    if isinstance(shape, Many):
        raise GoogleContentRejected("invalid", path, "must be a list")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "flag": isinstance(value, bool),
        "integer": is_number and not isinstance(value, float),
        "number": is_number,
    }.get(shape if isinstance(shape, str) else "", isinstance(value, str))
    if not fits:
        raise GoogleContentRejected("invalid", path, f"must be {_expected(shape)}")
    if shape == "number":
        return _number(float(value), path)
    return converter(shape, path, language)(value)


def converter(shape: Shape, path: str, language: str) -> Callable[[Value], Any]:
    """Brings values to `shape`; raises GoogleContentRejected at once where none can be brought."""
    if isinstance(shape, Part):
        return _part_converter(shape, path, language)
    if isinstance(shape, Many):
        raise GoogleContentRejected("invalid", path, "is a list: give its items")
    if isinstance(shape, Choice):
        return lambda value: _word(value, shape, path)
    simple: Mapping[str, Callable[[Value, str], Any]] = {
        "text": _text_converter(path),
        "flag": _flag,
        "integer": lambda value, where: _integer(value, MAX_INT32, where),
        "digits": lambda value, where: str(_integer(value, MAX_INT64, where)),
        "number": lambda value, where: _number(_as_double(value, where), where),
    }
    convert = simple[shape]
    return lambda value: convert(value, path)


def _part_converter(part: Part, path: str, language: str) -> Callable[[Value], Any]:
    match part.name:
        case "LocalizedString":
            return lambda value: localized(_words(value, path), language, path)
        case "Image":
            return lambda value: {"sourceUri": {"uri": url(_words(value, path), path)}}
        case "Uri":
            return lambda value: {"uri": link(_words(value, path), path)}
        case "DateTime":
            return lambda value: {"date": _date(value, path)}
        case "Money":
            return lambda value: money(_amount(value, path), path)
        case "LoyaltyPointsBalance":
            return lambda value: _balance(value, path)
    raise GoogleContentRejected("invalid", path, "is an object: give its members")


def _text_converter(path: str) -> Callable[[Value, str], str]:
    name, parent = path.rsplit(".", 1)[-1], path.rsplit(".", 2)[-2]
    if name == "uri":
        check = url if parent == "sourceUri" else link
        return lambda value, where: check(_words(value, where), where)
    if name == "date" or name.endswith("DateTime"):
        return _date
    if name in _VERBATIM or (name, parent) == ("value", "barcode"):
        return lambda value, where: verbatim(_words(value, where), where)
    own = _TEXT_CHECKS.get(name, text)
    return lambda value, where: own(_words(value, where), where)


def _words(value: Value, where: str) -> str:
    if isinstance(value, Amount):
        return amount_text(value, where)
    return day(value) if isinstance(value, datetime) else str(value)


def _date(value: Value, where: str) -> str:
    """ISO 8601; times of a flight or a train may be local, without an offset."""
    if isinstance(value, datetime):
        return moment(value, where)
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        raise GoogleContentRejected("date_invalid", where, "must be a date of ISO 8601") from None
    return str(value)


def _amount(value: Value, where: str) -> Amount:
    if not isinstance(value, Amount) or value.currency_code is None:
        raise GoogleContentRejected("invalid", where, "is money: say it with format currency")
    return value


def _balance(value: Value, where: str) -> dict[str, Any]:
    if isinstance(value, Amount):
        if value.currency_code is not None:
            return {"money": money(value, where)}
        return points(value, where)
    if isinstance(value, int) and not isinstance(value, bool):
        return points(Amount(value), where)
    return {"string": text(_words(value, where), where)}


def _word(value: Value, choice: Choice, where: str) -> str:
    if value not in choice.words:
        words = ", ".join(sorted(choice.words))
        raise GoogleContentRejected("invalid", where, f"must be one of {words}")
    return str(value)


def _flag(value: Value, where: str) -> bool:
    known = _FLAGS.get(str(value))
    if known is None:
        raise GoogleContentRejected("invalid", where, "must be true or false")
    return known


def _integer(value: Value, most: int, where: str) -> int:
    if isinstance(value, Amount):
        value = plain_number(value, where)
    digits = str(value)
    if isinstance(value, bool) or not digits.removeprefix("-").isdigit() or not digits.isascii():
        raise GoogleContentRejected("number_invalid", where, "must be a whole number")
    # Longer ones are refused before they are counted.
    if len(digits) > len(str(most)) + 1 or abs(int(digits)) > most:
        raise GoogleContentRejected("number_invalid", where, f"must be at most {most}")
    return int(digits)


def _as_double(value: Value, where: str) -> float:
    if isinstance(value, datetime | bool):
        raise GoogleContentRejected("number_invalid", where, "must be a number")
    return double(value, where)


def _number(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise GoogleContentRejected("number_invalid", where, "must be a finite number")
    most = _DEGREES.get(where.rsplit(".", 1)[-1])
    return value if most is None else degrees(value, most, where)


def _expected(shape: Shape) -> str:
    if isinstance(shape, Choice):
        return f"one of {', '.join(sorted(shape.words))}"
    return {
        "flag": "true or false",
        "integer": "a whole number",
        "number": "a number",
        "digits": "a whole number as text",
    }.get(str(shape), "text")
