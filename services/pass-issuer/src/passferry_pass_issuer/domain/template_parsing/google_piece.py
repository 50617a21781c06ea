"""Reading pieces of classes and objects in Google's own names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from passferry_pass_issuer.domain.google_template import Piece
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.node import Node
from passferry_pass_issuer.domain.template_parsing.values import optional_value

MAX_DEPTH = 10
MAX_NODES = 1_000
MAX_PIECE_TEXT = 8_000

#: Ours to say: who the pass is, what state it is in, whom Google calls, whether people are rung.
OURS = frozenset({"id", "classId", "state", "reviewStatus", "callbackOptions", "notifyPreference"})
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9]{0,63}\Z")


def class_piece(node: Node, name: str) -> Piece:
    """The same for every pass, so that it holds constants alone."""
    return _piece(node, name, may_change=False)


def object_piece(node: Node, name: str) -> Piece:
    """Values may be expressions: `{"source", "default"?, "format"?}`."""
    return _piece(node, name, may_change=True)


def _piece(node: Node, name: str, *, may_change: bool) -> Piece:
    given = node.get(name)
    if given is None:
        return {}
    where = node.at(name)
    if not isinstance(given, Mapping) or "source" in given:
        raise ContentRejected("invalid", where, "must be an object")
    for own in given:
        if own in OURS:
            raise ContentRejected("invalid", f"{where}.{own}", "is said by Passferry itself")
    reader = _Reader(may_change=may_change)
    piece: Piece = reader.read(given, where, 0)
    return piece


class _Reader:
    def __init__(self, *, may_change: bool) -> None:
        self._may_change = may_change
        self._nodes = 0

    def read(self, given: Any, where: str, depth: int) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise ContentRejected("too_large", where, "is too large or nested too deeply")
        if isinstance(given, Mapping):
            return self._object(given, where, depth)
        if isinstance(given, list):
            return [
                self.read(item, f"{where}.{place}", depth + 1) for place, item in enumerate(given)
            ]
        return _constant(given, where)

    def _object(self, given: Mapping[str, Any], where: str, depth: int) -> Any:
        if "source" in given:
            if not self._may_change:
                raise ContentRejected(
                    "invalid", where, "must be the same for every pass: say it in a constant"
                )
            parent, _, name = where.rpartition(".")
            return optional_value(Node({name: given}, parent), name)
        for name in given:
            if not isinstance(name, str) or not _NAME.match(name):
                raise ContentRejected("invalid", where, "has a member that Google cannot have")
        return {
            name: self.read(value, f"{where}.{name}", depth + 1) for name, value in given.items()
        }


def _constant(given: Any, where: str) -> Any:
    if given is None:
        raise ContentRejected("invalid", where, "is null: leave it out")
    if isinstance(given, str):
        parent, _, name = where.rpartition(".")
        return Node({name: given}, parent).optional_text(name, most=MAX_PIECE_TEXT)
    if isinstance(given, float) and not math.isfinite(given):
        raise ContentRejected("invalid", where, "must be a finite number")
    return given
