"""JSON of which all but a few values is the same each time, and is encoded once."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import orjson

# A raw zero byte: the encoder writes every other one as \u0000, so that no text holds a hole.
_HOLE = re.compile(rb"\x00([0-9]+)\x00")


def hole(number: int) -> orjson.Fragment:
    """Stands for the value with this number in what a frame is made of."""
    return orjson.Fragment(b"\x00%d\x00" % number)


def encoded(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class JsonFrame:
    """What was encoded with holes: each of `count` stands in it, more than once or not at all."""

    def __init__(self, json: bytes, *, count: int = 1) -> None:
        pieces = _HOLE.split(json)
        self._pattern = b"%b".join(piece.replace(b"%", b"%%") for piece in pieces[::2])
        order = [int(number) for number in pieces[1::2]]
        in_order = order == list(range(count))
        self._in_their_places: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] | None = (
            None if in_order else itemgetter(*order)
        )

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory."""
        return len(self._pattern)

    def filled(self, *values: bytes) -> bytes:
        """`values` are JSON already, by the numbers of their holes."""
        if self._in_their_places is None:
            return self._pattern % values
        return self._pattern % self._in_their_places(values)
