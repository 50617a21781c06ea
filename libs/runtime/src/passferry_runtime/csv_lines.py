"""CSV that spreadsheets open without running what somebody wrote into it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

#: What spreadsheets take for the beginning of a formula, the wide signs of East Asian ones too.
FORMULA_SIGNS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
#: What some of them take away or turn into a cell of its own before they look.
_SKIPPED = " \t\r\n\u00a0\u3000\ufeff"


def csv_lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """RFC 4180 in UTF-8. Numbers stay numbers; text never becomes a formula."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([_cell(each) for each in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return value
    is_formula = value.lstrip(_SKIPPED)[:1] in FORMULA_SIGNS or value[0] in "\t\r\n"
    return f"'{value}" if is_formula else value
