"""A pass that another tool made: its files, what they say, and what is taken over of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.value_expression import Scalar

MAX_PASS_JSON_BYTES = 1_048_576
#: Of ten, in numbers with a point or an exponent.
MAX_EXPONENT = 30
MAX_DEPTH = 32
MAX_SERIAL_NUMBER = 128


@dataclass(frozen=True, slots=True)
class PassFiles:
    """The files of one .pkpass as they came; `name` is the archive's."""

    name: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Unmapped:
    """What an import leaves behind: `path` in what was uploaded, and why."""

    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTemplate:
    """A layout. `key` is equal for equal layouts, so that a repeated import finds its template."""

    key: str
    name: str
    protocol: str
    pass_type_identifier: str | None
    team_identifier: str | None
    apple: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    unmapped: Sequence[Unmapped] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePass:
    """One pass that somebody may have on a phone. Holds its token: never logged."""

    name: str
    template_key: str
    serial_number: str | None
    pass_type_identifier: str | None
    external_id: str
    values: Mapping[str, Scalar]
    #: What its layout shows as constants, by the path of `constants_of`.
    constants: Mapping[str, Scalar] = field(default_factory=dict)
    code: str | None = None
    opening_balance_minor: int | None = None
    expires_at: datetime | None = None
    is_voided: bool = False
    authentication_token: str | None = field(default=None, repr=False)
    #: `verified`, `not_verified` or `none`, and a sentence.
    signature: str = "none"
    signature_detail: str = ""
    unmapped: Sequence[Unmapped] = ()


def read_json(name: str, data: bytes, *, most: int = MAX_PASS_JSON_BYTES) -> Any:
    """JSON of bounded size and depth; numbers with a point stay exact."""
    if len(data) > most:
        raise ContentRejected("too_large", name, f"is larger than {most} bytes")
    try:
        value = json.loads(
            data.decode("utf-8-sig"), parse_float=_exact, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as broken:
        raise ContentRejected(
            "not_json", name, "is not JSON in UTF-8, or holds a number that no pass shows"
        ) from broken
    _check_depth(name, value)
    return value


def _exact(text: str) -> Decimal:
    number = Decimal(text)
    if number and abs(number.adjusted()) > MAX_EXPONENT:
        # Written out, the digits of so short a text would fill the memory.
        raise ValueError(text)
    return number


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _check_depth(name: str, value: Any) -> None:
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ContentRejected("too_deep", name, f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, dict):
            pending += [(each, depth + 1) for each in item.values()]
        elif isinstance(item, list):
            pending += [(each, depth + 1) for each in item]


def check_manifest(files: PassFiles) -> bytes:
    """The manifest, when it lists every file as it is. A pass that was tampered with is none."""
    manifest = files.files.get("manifest.json")
    where = f"{files.name}/manifest.json"
    if manifest is None:
        raise ContentRejected("manifest_missing", where, "is missing: this is no whole pass")
    listed = read_json(where, manifest)
    present = {name for name in files.files if name not in {"manifest.json", "signature"}}
    if not isinstance(listed, dict) or set(listed) != present:
        raise ContentRejected("manifest_mismatch", where, "does not list the files that are there")
    for name in sorted(present):
        digest = hashlib.sha1(files.files[name], usedforsecurity=False).hexdigest()
        if listed[name] != digest:
            raise ContentRejected(
                "manifest_mismatch", f"{files.name}/{name}", "is another file than was signed"
            )
    return manifest


def layout_key(*parts: Any) -> str:
    canonical = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
