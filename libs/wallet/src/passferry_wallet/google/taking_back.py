"""What was said before and is not said any more, told as null.

A PATCH merges objects member by member and replaces lists whole, so silence would leave the old
words on every saved pass. What others put there (messages, linked offers) is not touched, which a
PUT would wipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from passferry_wallet.google.content import Vertical
from passferry_wallet.google.shapes import Kind, Part, Shape, shape_of

Body = dict[str, Any]


def taking_back(
    vertical: Vertical, kind: Kind, before: Mapping[str, Any], body: Mapping[str, Any]
) -> Body:
    """`body` with null for each member that `before`, the body told last, names and `body` not.

    The result is `before` of the next one: what it takes back is taken back by all that follow,
    so that a body that never arrived is no loss.
    """
    return _told(shape_of(vertical, kind), before, body)


def said_by_any(bodies: list[Mapping[str, Any]]) -> Body:
    """One body that names all members that any of these does."""
    said: Body = {}
    for body in bodies:
        for name, value in body.items():
            known = said.get(name)
            if isinstance(known, Mapping) and isinstance(value, Mapping):
                said[name] = said_by_any([known, value])
            elif not isinstance(known, Mapping):
                said[name] = value
    return said


def _told(shape: Shape | None, before: Mapping[str, Any], body: Mapping[str, Any]) -> Body:
    told = {**dict.fromkeys(before.keys() - body.keys()), **body}
    for name, old in before.items():
        new = told[name]
        if not isinstance(new, Mapping):
            continue
        part = _member(shape, name)
        if isinstance(old, Mapping):
            told[name] = _told(part, old, new)
        elif old is None:
            told[name] = _anew(part, new)
    return told


def _anew(shape: Shape | None, body: Mapping[str, Any]) -> Body:
    """An object that is there again: its null may never have arrived, and what it said before
    that is not known any more, so that all it could have said is taken back."""
    members = shape.members if isinstance(shape, Part) else {}
    return {
        **dict.fromkeys(members),
        **{
            name: _anew(_member(shape, name), value) if isinstance(value, Mapping) else value
            for name, value in body.items()
        },
    }


def _member(shape: Shape | None, name: str) -> Shape | None:
    member = shape.members.get(name) if isinstance(shape, Part) else None
    return None if member is None else member.shape
