"""Bodies from templates: compiled once per template version, drawn once per pass.

A template is a piece of JSON in Google's own names, some leaves of which are expressions. What
never changes is checked and written once; for a pass only the expressions are evaluated, and
their values are brought into the form that Google wants at their place.

A member whose expression has no value is told as null where it could have been there before: a
PATCH would leave the old one. An object that lacks what it is there for (a barcode its value) is
absent too; so is any other all of whose changing members are absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from passferry_wallet.clean_text import without_controls
from passferry_wallet.google.barcodes import check_barcode
from passferry_wallet.google.content import GoogleContentRejected, Value, Vertical
from passferry_wallet.google.leaves import constant, converter
from passferry_wallet.google.shapes import Kind, Many, Part, Shape, shape_of
from passferry_wallet.google.values import check_interval

#: More are refused by the platform, with the whole request.
LIMITS = {"messages": 10, "merchantLocations": 10}
#: Lists whose items have ids that people never see and Google wants to be different.
WITH_IDS = frozenset({"textModulesData", "imageModulesData", "messages"})
MAX_DEPTH = 12
#: What an object is there for; the rest of it only goes with that.
ESSENTIAL: Mapping[str, frozenset[str]] = {
    "Barcode": frozenset({"value"}),
    "DateTime": frozenset({"date"}),
    "Image": frozenset({"sourceUri"}),
    "ImageModuleData": frozenset({"mainImage"}),
    "ImageUri": frozenset({"uri"}),
    "LocalizedString": frozenset({"defaultValue"}),
    "Money": frozenset({"micros"}),
    "RotatingBarcode": frozenset({"valuePattern", "totpDetails"}),
    "RotatingBarcodeTotpDetails": frozenset({"parameters"}),
    "RotatingBarcodeTotpDetailsTotpParameters": frozenset({"key"}),
    "TextModuleData": frozenset({"body"}),
    "TranslatedString": frozenset({"value"}),
    "Uri": frozenset({"uri"}),
}
BALANCE_FORMS = ("string", "int", "double", "money")

Body = dict[str, Any]
#: Gives the value of a leaf for one pass; None when there is none.
Reader = Callable[[Any], Value | None]
Draw = Callable[[Any], Body]


class _Absent:
    """There is nothing to show here for this pass."""


ABSENT = _Absent()
_Step = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Fixed:
    """The same for every pass."""

    value: Any


def compile_body(
    vertical: Vertical,
    kind: Kind,
    tree: Mapping[str, Any],
    *,
    reader_of: Callable[[Any], Reader | None],
    language: str,
    where: str,
) -> Draw:
    """What draws bodies of `tree`. `reader_of` gives a reader for each leaf that is an expression,
    and None for what is plain JSON. Raises GoogleContentRejected with a path that begins with
    `where`; so does the result, for values that cannot be told."""
    return _Compiler(reader_of, language).body(tree, shape_of(vertical, kind), where)


@dataclass(frozen=True, slots=True)
class _Compiler:
    reader_of: Callable[[Any], Reader | None]
    language: str

    def body(self, tree: Mapping[str, Any], part: Part, where: str) -> Draw:
        fixed, steps = self._members(tree, part, where, 0)

        def draw(subject: Any) -> Body:
            body = dict(fixed)
            for name, step, is_required in steps:
                value = step(subject)
                if value is not ABSENT:
                    body[name] = value
                elif is_required:
                    raise GoogleContentRejected(
                        "required", f"{where}.{name}", "is required by Google, and has no value"
                    )
                else:
                    body[name] = None
            return body

        return draw

    def _node(
        self, tree: Any, shape: Shape, path: str, depth: int, *, in_list: bool
    ) -> _Fixed | _Step:
        if depth > MAX_DEPTH:
            raise GoogleContentRejected("too_deep", path, "is nested too deeply")
        reader = self.reader_of(tree)
        if reader is not None:
            return self._leaf(reader, shape, path)
        if isinstance(tree, Mapping):
            if not isinstance(shape, Part):
                raise GoogleContentRejected("invalid", path, "is no object")
            return self._object(tree, shape, path, depth, in_list=in_list)
        if isinstance(tree, list | tuple):
            if not isinstance(shape, Many):
                raise GoogleContentRejected("invalid", path, "is no list")
            return self._list(tree, shape, path, depth)
        return _Fixed(constant(tree, shape, path, self.language))

    def _leaf(self, reader: Reader, shape: Shape, path: str) -> _Step:
        convert = converter(shape, path, self.language)

        def step(subject: Any) -> Any:
            value = reader(subject)
            # Control characters alone show nothing.
            if value is None or (isinstance(value, str) and not without_controls(value)):
                return ABSENT
            return convert(value)

        return step

    def _members(
        self, tree: Mapping[str, Any], part: Part, path: str, depth: int, *, in_list: bool = False
    ) -> tuple[Body, list[tuple[str, _Step, bool]]]:
        fixed: Body = {}
        steps: list[tuple[str, _Step, bool]] = []
        for name, value in tree.items():
            member = part.members.get(name)
            if member is None:
                raise GoogleContentRejected("unknown", f"{path}.{name}", "is not known to Google")
            node = self._node(value, member.shape, f"{path}.{name}", depth + 1, in_list=in_list)
            if isinstance(node, _Fixed):
                fixed[name] = node.value
            else:
                steps.append((name, node, member.is_required))
        return fixed, steps

    def _object(
        self, tree: Mapping[str, Any], part: Part, path: str, depth: int, *, in_list: bool
    ) -> _Fixed | _Step:
        fixed, steps = self._members(tree, part, path, depth, in_list=in_list)
        check = _CHECKS.get(part.name)
        if not steps:
            if check is not None:
                check(fixed, path)
            return _Fixed(fixed)

        essential = ESSENTIAL.get(part.name, frozenset()) & tree.keys()
        # Where that is said by the template itself, the object is there for every pass.
        has_essential = bool(essential) and essential <= fixed.keys()

        def step(subject: Any) -> Any:
            body, is_empty = dict(fixed), not has_essential
            for name, one, is_required in steps:
                value = one(subject)
                if value is not ABSENT:
                    body[name], is_empty = value, False
                elif is_required or name in essential:
                    return ABSENT
                elif not in_list:
                    # A list is replaced whole, so that nothing of an old one can stay behind.
                    body[name] = None
            if is_empty:
                return ABSENT
            if check is not None:
                check(body, path)
            return body

        return step

    def _list(self, items: Sequence[Any], shape: Many, path: str, depth: int) -> _Fixed | _Step:
        name = path.rsplit(".", 1)[-1]
        most = LIMITS.get(name)
        if most is not None and len(items) > most:
            raise GoogleContentRejected("too_many", path, f"has more than {most} items")
        if name in WITH_IDS:
            _refuse_equal_ids(items, path)
        nodes = [
            self._node(item, shape.item, f"{path}.{place}", depth + 1, in_list=True)
            for place, item in enumerate(items)
        ]
        if all(isinstance(node, _Fixed) for node in nodes):
            return _Fixed([node.value for node in nodes if isinstance(node, _Fixed)])

        def step(subject: Any) -> Any:
            shown = [
                value
                for node in nodes
                if (value := node.value if isinstance(node, _Fixed) else node(subject))
                is not ABSENT
            ]
            return shown or ABSENT

        return step


def _refuse_equal_ids(items: Sequence[Any], path: str) -> None:
    ids = [item["id"] for item in items if isinstance(item, Mapping) and "id" in item]
    known = [each for each in ids if isinstance(each, str)]
    if len(set(known)) != len(known):
        raise GoogleContentRejected("duplicate", path, "has an id twice")


def _check_points(body: Mapping[str, Any], path: str) -> None:
    if sum(body.get(form) is not None for form in BALANCE_FORMS) != 1:
        raise GoogleContentRejected("invalid", path, f"must be one of {', '.join(BALANCE_FORMS)}")


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], str], None]] = {
    "Barcode": check_barcode,
    "TimeInterval": check_interval,
    "LoyaltyPointsBalance": _check_points,
}
