"""Writes the typed models of Google Wallet's classes and objects from Google's own description.

python tools/generate_google_models.py [--check]

The description (discovery document) is carried by google-api-python-client, a development
dependency. What it tells in prose only (required fields, fields that the platform sets) is read
from its sentences.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "libs/wallet/src/passferry_wallet/google/models.py"

VERTICALS = ("loyalty", "giftCard", "offer", "eventTicket", "flight", "transit", "generic")
#: Only the platform sets these; a body that carries one is a bug of ours.
PLATFORM_FIELDS = frozenset(
    {"hasUsers", "hasLinkedDevice", "classReference", "kind", "version", "review"}
)
_REQUIRED = re.compile(
    r"^Required\b|This is a required (?:property|field)|This is required\.|Required for each nested"
)

HEADER = '''"""Every class and object of Google Wallet as a typed model; unknown keys are refused.

Written by tools/generate_google_models.py from revision {revision} of Google's description. Fields
that only the platform sets are left out, and so are the old spellings of enumerations.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from passferry_wallet.google.strict_model import Double, GoogleModel, Int32, Int64Text

REVISION = "{revision}"

'''


def load_document() -> dict[str, Any]:
    folder = resources.files("googleapiclient.discovery_cache").joinpath("documents")
    document: dict[str, Any] = json.loads(folder.joinpath("walletobjects.v1.json").read_bytes())
    return document


def source_of(document: Mapping[str, Any]) -> str:
    """The text of the module, before it is formatted."""
    schemas = document["schemas"]
    names = sorted(_reachable(schemas, _roots()))
    parts = [HEADER.format(revision=document["revision"])]
    parts += ["\n".join(_model(name, schemas[name])) + "\n\n" for name in names]
    parts += [_table("CLASS_MODELS", "Class"), _table("OBJECT_MODELS", "Object")]
    return "\n".join(parts)


def _roots() -> list[str]:
    return [
        f"{vertical[0].upper()}{vertical[1:]}{kind}"
        for vertical in VERTICALS
        for kind in ("Class", "Object")
    ]


def _reachable(schemas: Mapping[str, Any], wanted: list[str]) -> set[str]:
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        for _, spec in _fields(schemas[name]):
            inner = spec.get("items", spec)
            if "$ref" in inner:
                wanted.append(inner["$ref"])
    return found


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, spec in sorted(schema.get("properties", {}).items()):
        if name not in PLATFORM_FIELDS:
            yield name, spec


def _model(name: str, schema: Mapping[str, Any]) -> list[str]:
    lines = [f"class {name}(GoogleModel):"]
    lines += [f"    {_field(wire, spec)}" for wire, spec in _fields(schema)]
    return lines if len(lines) > 1 else [*lines, "    pass"]


def _field(wire: str, spec: Mapping[str, Any]) -> str:
    name = _snake(wire)
    is_required = _REQUIRED.search(spec.get("description", "")) is not None
    kind = _kind(spec)
    alias = f'alias="{wire}"' if to_camel(name) != wire else ""
    if is_required:
        return f"{name}: {kind}" + (f" = Field({alias})" if alias else "")
    default = f"Field(default=None, {alias})" if alias else "None"
    return f"{name}: {kind} | None = {default}"


def _kind(spec: Mapping[str, Any]) -> str:
    if "$ref" in spec:
        return str(spec["$ref"])
    if spec["type"] == "array":
        return f"list[{_kind(spec['items'])}]"
    if "enum" in spec:
        return f"Literal[{', '.join(json.dumps(value) for value in _words(spec['enum']))}]"
    kinds = {
        ("string", None): "str",
        ("string", "int64"): "Int64Text",
        ("integer", "int32"): "Int32",
        ("number", "double"): "Double",
        ("boolean", None): "bool",
    }
    return kinds[spec["type"], spec.get("format")]


def _words(enumeration: list[str]) -> list[str]:
    """In the one spelling that we send: `EAN_13`, and neither `ean13` nor `EAN13`."""
    spellings: dict[str, str] = {}
    for word in enumeration:
        if word.isupper() and not word.endswith("_UNSPECIFIED"):
            spellings.setdefault(word.replace("_", ""), word)
    return list(spellings.values())


def _table(name: str, kind: str) -> str:
    rows = "".join(f'"{v}": {v[0].upper()}{v[1:]}{kind}, ' for v in VERTICALS)
    return f"{name}: dict[str, type[GoogleModel]] = {{{rows}}}\n"


def _snake(wire: str) -> str:
    name = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), wire)
    return f"{name}_" if name == "int" else name


def formatted(source: str) -> str:
    done = source
    for command in (["check", "--fix-only", "--select", "I"], ["format"]):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *command,
                "--quiet",
                "--stdin-filename",
                str(MODELS),
                "-",
            ],
            input=done,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
    return done


def main() -> int:
    text = formatted(source_of(load_document()))
    if "--check" in sys.argv[1:]:
        if MODELS.read_text() != text:
            print(f"{MODELS.relative_to(ROOT)} is not what the description says: generate it again")
            return 1
        return 0
    MODELS.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
