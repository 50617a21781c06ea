"""Takes away of a layout what a template cannot say, and tells what that was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from passferry_pass_issuer.domain.pass_import import Unmapped
from passferry_pass_issuer.domain.refusals import ContentRejected

MAX_CUTS = 300
#: Without these there is no template: what is wrong with them is refused.
_ESSENTIAL = frozenset({"apple", "apple.style", "apple.organization_name", "apple.description"})


class Piece(dict[str, Any]):
    """A part of a template that knows where in the upload it comes from; `names` tells the
    members that are called otherwise there."""

    def __init__(
        self, origin: str, members: Mapping[str, Any], names: Mapping[str, str] | None = None
    ) -> None:
        super().__init__({name: value for name, value in members.items() if value is not None})
        self.origin = origin
        self.names = names or {}

    def origin_of(self, name: str) -> str:
        inner = self.get(name)
        if isinstance(inner, Piece):
            return inner.origin
        own = self.names.get(name, name)
        return f"{self.origin}.{own}" if self.origin else own


def fit(
    content: dict[str, Any], parse: Callable[[Mapping[str, Any]], object]
) -> tuple[dict[str, Any], list[Unmapped]]:
    """`content` as `parse` takes it. Raises `ContentRejected` when what must be there is wrong."""
    cut: list[Unmapped] = []
    for _ in range(MAX_CUTS):
        try:
            parse(content)
        except ContentRejected as refusal:
            cut += _cut(content, refusal)
        else:
            return content, cut
    raise ContentRejected("too_many", "pass.json", f"has over {MAX_CUTS} parts that cannot be kept")


def _cut(content: dict[str, Any], refusal: ContentRejected) -> list[Unmapped]:
    """Remove what the refusal is about: the member itself, or what holds it where it is missing."""
    parts = refusal.field.split(".")
    place: Any = content
    trail: list[tuple[Any, str]] = []
    for part in parts:
        step = _step(place, part, parts[len(trail) :])
        if step is None:
            break
        trail.append((place, step))
        place = place[int(step)] if isinstance(place, list) else place[step]
        if ".".join(name for _, name in trail) == refusal.field:
            break
    if not trail:
        raise refusal
    path = ".".join(name for _, name in trail)
    if path in _ESSENTIAL:
        raise refusal
    holder, name = trail[-1]
    if refusal.code == "too_many" and isinstance(place, list) and place:
        removed = place[-1]
        origins = _origins(trail, removed)
        place.pop()
    else:
        index: Any = int(name) if isinstance(holder, list) else name
        origins = _origins(trail, holder[index])
        del holder[index]
    return [Unmapped(origin, refusal.detail) for origin in origins]


def _step(place: Any, part: str, rest: list[str]) -> str | None:
    if isinstance(place, list):
        return part if part.isdigit() and int(part) < len(place) else None
    if not isinstance(place, Mapping):
        return None
    if part in place:
        return part
    # A name may hold a point of its own.
    dotted = ".".join(rest)
    return dotted if dotted in place else None


def _origins(trail: list[tuple[Any, str]], removed: Any) -> list[str]:
    if isinstance(removed, Piece):
        # What was gathered from several places is told by each of them.
        return [removed.origin] if removed.origin else [removed.origin_of(each) for each in removed]
    names: list[str] = []
    for holder, name in reversed(trail):
        if isinstance(holder, Piece):
            return [".".join([holder.origin_of(name), *reversed(names)])]
        names.append(name)
    return [".".join(name for _, name in trail)]
