"""The walletobjects contract as Google publishes it: routes and schemas of the discovery document.

The document ships inside `google-api-python-client`. Nothing here is written from memory: what it
does not say in a machine-readable way (required fields) is read from its descriptions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

PINNED_REVISION = "20260806"

#: Fields that only the platform sets. A request that carries them is a bug of the client.
PLATFORM_FIELDS = frozenset({"hasUsers", "hasLinkedDevice", "classReference", "kind", "version"})

VERTICALS = ("eventTicket", "flight", "generic", "giftCard", "loyalty", "offer", "transit")

_INTEGER_TEXT = re.compile(r"-?[0-9]+")
_INTEGER_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a body differs from its schema; `path` is dotted, empty for the body."""

    path: str
    message: str

    def __str__(self) -> str:
        if self.message.startswith("Unknown name"):
            where = f" at '{self.path}'" if self.path else ""
            return f"Invalid JSON payload received. {self.message}{where}: Cannot find field."
        return f"Invalid value at '{self.path}': {self.message}"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of the API: `resource` is lower case (`loyaltyobject`), `action` as published."""

    resource: str
    action: str
    http_method: str
    template: str
    pattern: re.Pattern[str]
    query: frozenset[str]
    request_schema: str | None


class Discovery:
    """The parsed document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.revision: str = document["revision"]
        self._schemas: Mapping[str, Any] = document["schemas"]
        common = frozenset(document["parameters"])
        self._routes = list(_walk(document["resources"], common))

    def route(self, http_method: str, path: str) -> tuple[Route, str | None] | None:
        """Find the method that serves `path` (no leading slash), with its path parameter."""
        for route in self._routes:
            if route.http_method == http_method:
                found = route.pattern.fullmatch(path)
                if found:
                    return route, next(iter(found.groups()), None)
        return None

    def knows_path(self, path: str) -> bool:
        return any(route.pattern.fullmatch(path) for route in self._routes)

    def properties(self, schema: str) -> Mapping[str, Any]:
        properties: Mapping[str, Any] = self._schemas[schema].get("properties", {})
        return properties

    def violations(self, schema: str, body: Any, *, complete: bool) -> list[Violation]:
        """Check `body`; `complete` also asks for the fields whose description says Required."""
        return list(self._check({"$ref": schema}, body, "", complete=complete))

    def legacy_spelling(self, schema: str, body: Any) -> Any:
        """Return `body` with each enum value as the old API spells it (`textAndNotify`)."""
        return self._spell({"$ref": schema}, body)

    def _check(
        self, spec: Mapping[str, Any], value: Any, path: str, *, complete: bool
    ) -> Iterator[Violation]:
        if value is None or spec.get("type") == "any":
            return
        if "$ref" in spec:
            spec = self._schemas[spec["$ref"]]
        kind = spec["type"]
        if kind == "object":
            yield from self._check_object(spec, value, path, complete=complete)
        elif kind == "array":
            if not isinstance(value, list):
                yield Violation(path, "expected a list")
                return
            for index, item in enumerate(value):
                yield from self._check(spec["items"], item, f"{path}[{index}]", complete=complete)
        else:
            fault = _scalar_fault(spec, value)
            if fault:
                yield Violation(path, fault)

    def _check_object(
        self, spec: Mapping[str, Any], value: Any, path: str, *, complete: bool
    ) -> Iterator[Violation]:
        if not isinstance(value, dict):
            yield Violation(path, "expected an object")
            return
        properties = spec.get("properties", {})
        others = spec.get("additionalProperties")
        for name, item in value.items():
            inner = f"{path}.{name}" if path else name
            if name in properties:
                yield from self._check(properties[name], item, inner, complete=complete)
            elif others is not None:
                yield from self._check(others, item, inner, complete=complete)
            else:
                yield Violation(path, f'Unknown name "{name}"')
        if complete:
            for name in _required(properties):
                if value.get(name) in (None, "", {}):
                    inner = f"{path}.{name}" if path else name
                    yield Violation(inner, "this field is required")

    def _spell(self, spec: Mapping[str, Any], value: Any) -> Any:
        if "$ref" in spec:
            spec = self._schemas[spec["$ref"]]
        if isinstance(value, dict):
            properties = spec.get("properties", {})
            return {
                name: self._spell(properties[name], item) if name in properties else item
                for name, item in value.items()
            }
        if isinstance(value, list) and "items" in spec:
            return [self._spell(spec["items"], item) for item in value]
        if isinstance(value, str) and "enum" in spec:
            return _camel(value)
        return value


@cache
def load_discovery() -> Discovery:
    """Read the document from the installed client library; raises when the revision moved."""
    folder = resources.files("googleapiclient.discovery_cache").joinpath("documents")
    discovery = Discovery(json.loads(folder.joinpath("walletobjects.v1.json").read_bytes()))
    if discovery.revision != PINNED_REVISION:
        raise RuntimeError(f"walletobjects revision {discovery.revision}, not {PINNED_REVISION}")
    return discovery


def normal_enum(value: object) -> str:
    """Bring any spelling of an enum value to one form: `textAndNotify` and `TEXT_AND_NOTIFY`."""
    return str(value).replace("_", "").upper() if value is not None else ""


def _walk(tree: Mapping[str, Any], common: frozenset[str]) -> Iterator[Route]:
    for resource, node in tree.items():
        for action, method in node.get("methods", {}).items():
            template: str = method["flatPath"]
            pieces = re.split(r"(\{[^}]+\})", template)
            pattern = "".join(
                "([^/]+)" if piece.startswith("{") else re.escape(piece) for piece in pieces
            )
            parameters = method.get("parameters", {})
            own = {name for name, spec in parameters.items() if spec["location"] == "query"}
            yield Route(
                resource=resource.lower(),
                action=action,
                http_method=method["httpMethod"],
                template=template,
                pattern=re.compile(pattern),
                query=common | own,
                request_schema=method.get("request", {}).get("$ref"),
            )
        yield from _walk(node.get("resources", {}), common)


def _required(properties: Mapping[str, Any]) -> Iterator[str]:
    for name, spec in properties.items():
        if spec.get("description", "").startswith("Required"):
            yield name


def _scalar_fault(spec: Mapping[str, Any], value: Any) -> str | None:
    kind = spec["type"]
    if kind == "boolean":
        return None if isinstance(value, bool) else "expected true or false"
    if kind == "string" and spec.get("format") in _INTEGER_RANGES:
        return _integer_fault(spec["format"], value)
    if kind == "integer":
        if isinstance(value, str):
            return "expected a number, not a string"
        return _integer_fault(spec.get("format", "int64"), value)
    if kind == "number":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if is_number else "expected a number"
    if not isinstance(value, str):
        return "expected a string"
    if "enum" in spec and value not in spec["enum"]:
        return f'"{value}" is not one of the allowed values'
    return None


def _integer_fault(number_format: str, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return f"expected {number_format}"
    if isinstance(value, str) and not _INTEGER_TEXT.fullmatch(value):
        return f"expected {number_format} as text"
    low, high = _INTEGER_RANGES[number_format]
    return None if low <= int(value) <= high else f"out of range for {number_format}"


def _camel(value: str) -> str:
    if not value.isupper():
        return value
    first, *rest = value.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)
