"""Reads pass.json strictly, and writes it with sorted keys and every digit that it had."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Never

import orjson
from pydantic import ValidationError

from passferry_wallet.apple.document.rules import check_whole
from passferry_wallet.apple.document.whole import ApplePass
from passferry_wallet.apple.pass_json import MAX_PASS_JSON_BYTES
from passferry_wallet.apple.rejections import PassContentRejected

MAX_NUMBER_DIGITS = 40

#: pydantic's own kinds of error in words for people; the others bring their sentence along.
_SENTENCES = {
    "missing": "is required",
    "literal_error": "is none of the values that Wallet knows",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "string_pattern_mismatch": "has not the form that is expected",
    "too_long": "has too many items",
    "string_too_long": "is too long",
    "string_too_short": "is too short",
}
#: Names of the members of a union, which are no part of a path in pass.json.
_UNION_MARKS = ("function-", "constrained-", "str", "int", "decimal", "Decimal")


def read_pass_json(data: bytes) -> ApplePass:
    """Raises PassContentRejected with the path of the first fault, in Apple's names."""
    if len(data) > MAX_PASS_JSON_BYTES:
        raise PassContentRejected(
            "too_large", "pass.json", f"is larger than {MAX_PASS_JSON_BYTES} bytes"
        )
    try:
        raw = json.loads(
            data,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_twins,
        )
    except (ValueError, RecursionError) as error:
        raise PassContentRejected("not_json", "pass.json", "is no sound JSON") from error
    try:
        content = ApplePass.model_validate(raw)
    except ValidationError as error:
        raise rejection(error) from None
    check_whole(content)
    return content


def pass_json_bytes(content: ApplePass) -> bytes:
    """UTF-8, sorted keys, no spaces: equal content gives equal bytes."""
    told = content.model_dump(by_alias=True, exclude_unset=True)
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS, default=_number)


def _number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode())
    raise TypeError


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_NUMBER_DIGITS:
        raise ValueError("a number has too many digits")
    return Decimal(text)


def _integer(text: str) -> int | Decimal:
    number = _decimal(text)
    return int(number) if abs(number) < 2**63 else number


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def rejection(error: ValidationError, where: str = "") -> PassContentRejected:
    """The first fault, with its path below `where`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    steps = [str(part) for part in first["loc"] if not str(part).startswith(_UNION_MARKS)]
    path = ".".join([where, *steps] if where else steps)
    sentence = _SENTENCES.get(first["type"], first["msg"])
    return PassContentRejected(first["type"], path or "pass.json", sentence)
