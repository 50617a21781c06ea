"""Would a changed JSON Schema break events or consumers of yesterday?

Both ways must hold, because services are not replaced at one moment: every event that the old
schema allows must satisfy the new one (backward), and every event that the new one allows must
satisfy the old one, apart from fields that it does not know (forward). What remains is adding
optional fields. The comparison knows the keywords that pydantic writes; any other keyword must
stay as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

#: Say something to people only.
_ANNOTATIONS = frozenset({"title", "description", "examples", "$schema", "$id", "$defs"})
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_COMPARED = frozenset(
    {"type", "enum", "const", "properties", "required", "items", "additionalProperties", "default"}
    | set(_LOWER_BOUNDS)
    | set(_UPPER_BOUNDS)
)
_ABSENT = object()


def breaking_changes(old_schema: Schema, new_schema: Schema) -> list[str]:
    """Each change that breaks events or consumers of `old_schema`, as `path: what changed`.

    Empty when the change is safe both ways. The schemas may use `$ref` into their own `$defs`,
    also in circles, and `anyOf` with null.
    """
    comparison = _Comparison(old_schema.get("$defs", {}), new_schema.get("$defs", {}), set())
    return list(comparison.compare(old_schema, new_schema, ""))


@dataclass(frozen=True, slots=True)
class _Comparison:
    old_definitions: Schema
    new_definitions: Schema
    #: Pairs of definitions under comparison, so that circles end.
    compared: set[tuple[int, int]]

    def compare(self, old: Schema, new: Schema, path: str) -> Iterable[str]:
        yield from _changed_default(old, new, path)
        old_forms = _forms(old, self.old_definitions)
        new_forms = _forms(new, self.new_definitions)
        if len(old_forms) == len(new_forms) == 1:
            yield from self._compare_form(old_forms[0], new_forms[0], path)
        else:
            yield from self._compare_alternatives(old_forms, new_forms, path)

    def _compare_alternatives(
        self, old_forms: list[Schema], new_forms: list[Schema], path: str
    ) -> Iterable[str]:
        old_is_nullable, old_rest = _split_null(old_forms)
        new_is_nullable, new_rest = _split_null(new_forms)
        if old_is_nullable and not new_is_nullable:
            yield f"{_at(path)}null is refused now"
        if new_is_nullable and not old_is_nullable:
            yield f"{_at(path)}null is allowed now, which consumers of yesterday refuse"
        if len(old_rest) == len(new_rest) == 1:
            yield from self._compare_form(old_rest[0], new_rest[0], path)
            return
        unmatched = list(new_rest)
        for form in old_rest:
            match = next((each for each in unmatched if self._is_safe(form, each)), None)
            if match is None:
                yield f"{_at(path)}an alternative ({_describe(form)}) was removed or changed"
            else:
                unmatched.remove(match)
        for form in unmatched:
            yield f"{_at(path)}an alternative ({_describe(form)}) was added or changed"

    def _is_safe(self, old: Schema, new: Schema) -> bool:
        trial = _Comparison(self.old_definitions, self.new_definitions, set(self.compared))
        return not list(trial._compare_form(old, new, ""))

    def _compare_form(self, old: Schema, new: Schema, path: str) -> Iterable[str]:
        pair = (id(old), id(new))
        if pair in self.compared:
            return
        self.compared.add(pair)
        if _types(old) != _types(new):
            yield f"{_at(path)}the type changed from {_describe(old)} to {_describe(new)}"
            return
        yield from _changed_values(old, new, path)
        yield from _changed_bounds(old, new, path)
        yield from self._changed_properties(old, new, path)
        yield from self._changed_subschema("items", old, new, f"{path}[]")
        yield from self._changed_subschema("additionalProperties", old, new, f"{path}{{}}")
        yield from self._changed_rules(old, new, path)

    def _changed_properties(self, old: Schema, new: Schema, path: str) -> Iterable[str]:
        old_fields: Schema = old.get("properties", {})
        new_fields: Schema = new.get("properties", {})
        old_required = set(old.get("required", ()))
        new_required = set(new.get("required", ()))
        for name in old_fields:
            field = f"{path}.{name}" if path else name
            if name not in new_fields:
                yield f"{field}: the field was removed"
                continue
            if name in new_required and name not in old_required:
                yield f"{field}: the field became required"
            if name in old_required and name not in new_required:
                yield f"{field}: the field is no longer required, but consumers of yesterday need it"
            yield from self.compare(old_fields[name], new_fields[name], field)
        for name in sorted(new_required - set(old_fields) - old_required):
            field = f"{path}.{name}" if path else name
            yield f"{field}: a required field was added"

    def _changed_subschema(
        self, keyword: str, old: Schema, new: Schema, path: str
    ) -> Iterable[str]:
        before, after = _subschema(old, keyword), _subschema(new, keyword)
        if before is None and after is None:
            return
        if before is None or after is None:
            yield f"{_at(path)}the rule for {keyword} was {'added' if before is None else 'removed'}"
        else:
            yield from self.compare(before, after, path)

    def _changed_rules(self, old: Schema, new: Schema, path: str) -> Iterable[str]:
        for keyword in sorted((set(old) | set(new)) - _COMPARED - _ANNOTATIONS):
            before = _canonical(old.get(keyword, _ABSENT), self.old_definitions)
            after = _canonical(new.get(keyword, _ABSENT), self.new_definitions)
            if before != after:
                yield f"{_at(path)}the rule {keyword} changed"


def _canonical(value: object, definitions: Schema) -> str:
    if value is _ABSENT:
        return "absent"
    text = json.dumps(value, sort_keys=True)
    return text + json.dumps(definitions, sort_keys=True) if '"$ref"' in text else text


def _subschema(schema: Schema, keyword: str) -> Schema | None:
    # True and false mean the same here: consumers ignore fields that they do not know.
    subschema = schema.get(keyword)
    return subschema if isinstance(subschema, dict) else None


def _forms(schema: Schema, definitions: Schema) -> list[Schema]:
    """The alternatives that a schema allows, with references followed and `anyOf` flattened."""
    reference = schema.get("$ref")
    if reference is not None:
        return _forms(definitions[reference.removeprefix("#/$defs/")], definitions)
    alternatives = schema.get("anyOf")
    if alternatives is None or "type" in schema:
        return [schema]
    return [form for alternative in alternatives for form in _forms(alternative, definitions)]


def _split_null(forms: list[Schema]) -> tuple[bool, list[Schema]]:
    rest = [form for form in forms if form.get("type") != "null"]
    return len(rest) < len(forms), rest


def _types(schema: Schema) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else sorted(kind)


def _describe(schema: Schema) -> str:
    return "/".join(_types(schema)) or "anything"


def _at(path: str) -> str:
    return f"{path or 'body'}: "


def _changed_default(old: Schema, new: Schema, path: str) -> Iterable[str]:
    before, after = old.get("default", _ABSENT), new.get("default", _ABSENT)
    # Old events left the field out and meant the old default.
    if before is not _ABSENT and after is not _ABSENT and before != after:
        yield f"{_at(path)}the default changed"


def _changed_values(old: Schema, new: Schema, path: str) -> Iterable[str]:
    before, after = _values(old), _values(new)
    if before == after:
        return
    if before is None or after is None:
        yield f"{_at(path)}the list of allowed values was {'added' if before is None else 'removed'}"
        return
    if removed := sorted(before - after):
        yield f"{_at(path)}no longer allowed: {', '.join(removed)}"
    if added := sorted(after - before):
        yield f"{_at(path)}unknown to consumers of yesterday: {', '.join(added)}"


def _values(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {json.dumps(schema["const"])}
    return {json.dumps(value) for value in schema["enum"]} if "enum" in schema else None


def _changed_bounds(old: Schema, new: Schema, path: str) -> Iterable[str]:
    for keyword in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        before, after = old.get(keyword), new.get(keyword)
        if before == after:
            continue
        was_narrowed = before is None or (
            after is not None and (after > before) == (keyword in _LOWER_BOUNDS)
        )
        verb = "narrowed" if was_narrowed else "widened beyond what consumers of yesterday accept"
        yield f"{_at(path)}{keyword} was {verb} ({before} to {after})"
