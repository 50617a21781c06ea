"""JSON Schemas of all events, generated from the models into `schemas/` and kept in version control.

    python -m passferry_contracts.schemas --check    exit code 1 when a file is out of date
    python -m passferry_contracts.schemas --write    update the files; refuses a breaking change

The committed files are what consumers of yesterday know. A change that would break them is not
written: it needs a new event type with the suffix `.v2`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from passferry_contracts.compatibility import Schema, breaking_changes
from passferry_contracts.fields import Part
from passferry_contracts.registry import PASS_INBOUND, TOPICS, Payload, Topic

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS_DIRECTORY = Path(__file__).parents[2] / "schemas"


@dataclass(frozen=True, slots=True)
class EventKind:
    """One event type of one topic at its present version."""

    topic: Topic
    model: type[Payload]

    @property
    def family(self) -> str:
        """Inbound types share their names with canonical ones, hence a folder of their own."""
        return "inbound" if self.topic is PASS_INBOUND else self.topic.name

    @property
    def event_type(self) -> str:
        return self.model.event_type

    @property
    def folder(self) -> str:
        """Where its schema and its examples are, below their directories."""
        return f"{self.family}/{self.event_type}"

    @property
    def version(self) -> int:
        return self.model.schema_version


def event_kinds() -> Iterator[EventKind]:
    """Every event type in the order of the registry."""
    for topic in TOPICS.values():
        for model in topic.events:
            yield EventKind(topic, model)


def schema_of(model: type[Payload]) -> Schema:
    """The JSON Schema that an event's value satisfies, self-contained, with field descriptions."""
    schema = model.model_json_schema(mode="validation")
    for name, definition in schema.get("$defs", {}).items():
        _describe_fields(definition, _parts_of(model).get(name))
    _describe_fields(schema, model)
    return {"$schema": DIALECT, **cast("Schema", _for_readers(schema))}


def schema_path(kind: EventKind, directory: Path = SCHEMAS_DIRECTORY) -> Path:
    return directory / kind.folder / f"{kind.version}.json"


def schema_text(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def outdated(directory: Path = SCHEMAS_DIRECTORY) -> list[str]:
    """What differs between the models and the files, as sentences for people."""
    faults: list[str] = []
    expected = set()
    for kind in event_kinds():
        path = schema_path(kind, directory)
        expected.add(path)
        if not path.exists():
            faults.append(f"{kind.folder}: the schema is missing")
        elif path.read_text() != schema_text(schema_of(kind.model)):
            faults.append(f"{kind.folder}: the schema is out of date")
    faults.extend(
        f"{path.relative_to(directory)}: no event of the registry has this schema"
        for path in sorted(directory.glob("*/*/*.json"))
        if path not in expected and not _is_superseded(path, expected)
    )
    return faults


def breaks(directory: Path = SCHEMAS_DIRECTORY) -> list[str]:
    """Each change of a model that would break the consumers or events of a committed schema."""
    faults: list[str] = []
    for kind in event_kinds():
        for path in sorted((directory / kind.folder).glob("*.json")):
            changes = breaking_changes(json.loads(path.read_text()), schema_of(kind.model))
            faults.extend(f"{kind.folder} {path.stem}: {change}" for change in changes)
    return faults


def write(directory: Path = SCHEMAS_DIRECTORY) -> None:
    for kind in event_kinds():
        path = schema_path(kind, directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(schema_text(schema_of(kind.model)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m passferry_contracts.schemas")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="exit 1 when a file is out of date")
    action.add_argument("--write", action="store_true", help="update the files")
    parser.add_argument(
        "--accept-breaking",
        action="store_true",
        help="write breaking changes too: only before the first release",
    )
    parser.add_argument("--directory", type=Path, default=SCHEMAS_DIRECTORY)
    options = parser.parse_args(arguments)
    if options.check:
        return _report([*breaks(options.directory), *outdated(options.directory)])
    faults = [] if options.accept_breaking else breaks(options.directory)
    if not faults:
        write(options.directory)
    return _report(faults)


def _report(faults: list[str]) -> int:
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


def _is_superseded(path: Path, expected: set[Path]) -> bool:
    # Earlier versions of a living type stay for ever: today's model must read their events.
    return any(path.parent == other.parent for other in expected)


def _parts_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The models of a module by name: definitions carry only the name of their class."""
    module = sys.modules[model.__module__]
    return {
        name: item
        for name, item in vars(module).items()
        if isinstance(item, type) and issubclass(item, Part)
    }


def _describe_fields(schema: Schema, model: type[BaseModel] | None) -> None:
    if model is None:
        return
    comments = field_comments(model)
    for name, field in schema.get("properties", {}).items():
        if name in comments:
            field["description"] = comments[name]
    if model.__doc__:
        schema["description"] = inspect.cleandoc(model.__doc__)


def field_comments(model: type[BaseModel]) -> dict[str, str]:
    """Each field's `#:` comment, those of base classes included."""
    comments: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, Part):
            comments.update(_comments_in(inspect.getsource(owner)))
    return comments


def _comments_in(source: str) -> dict[str, str]:
    comments: dict[str, str] = {}
    pending: list[str] = []
    for line in source.splitlines():
        text = line.strip()
        if text.startswith("#:"):
            pending.append(text.removeprefix("#:").strip())
            continue
        name, colon, _ = text.partition(":")
        if pending and colon and name.isidentifier():
            comments[name] = " ".join(pending)
        pending = []
    return comments


def _for_readers(value: Any, *, is_schema: bool = True) -> Any:
    """Drop what pydantic writes but readers must not rely on.

    Titles of fields repeat their names. `additionalProperties: false` binds our producers only:
    who validates with an older schema must not refuse the fields that a newer one added.
    """
    if isinstance(value, list):
        return [_for_readers(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_model = is_schema and "properties" in value
    kept = {
        key: _for_readers(item, is_schema=key not in ("properties", "$defs"))
        for key, item in value.items()
        if not is_schema or key != "title" or is_model or "enum" in value
    }
    if is_model:
        kept.pop("additionalProperties", None)
    return kept


if __name__ == "__main__":
    sys.exit(main())
