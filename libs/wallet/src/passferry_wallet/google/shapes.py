"""What the API wants at each place of a body, read once from the typed models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from passferry_wallet.google.content import GoogleContentRejected, Vertical
from passferry_wallet.google.models import CLASS_MODELS, OBJECT_MODELS
from passferry_wallet.google.strict_model import GoogleModel

Kind = Literal["Class", "Object"]

_SCALARS: dict[type, str] = {str: "text", bool: "flag", int: "integer", float: "number"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these words."""

    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Many:
    """A list of one thing."""

    item: Shape


@dataclass(frozen=True, slots=True)
class Part:
    """An object; `name` is Google's, such as `Money`."""

    name: str
    model: type[GoogleModel]

    @property
    def members(self) -> Mapping[str, Member]:
        return _members(self.model)


#: `text`, `flag`, `integer` (32 bits), `digits` (64 bits, as text) or `number`, or one of the above.
Shape = str | Choice | Many | Part


@dataclass(frozen=True, slots=True)
class Member:
    shape: Shape
    is_required: bool


@cache
def shape_of(vertical: Vertical, kind: Kind) -> Part:
    models = CLASS_MODELS if kind == "Class" else OBJECT_MODELS
    model = models[vertical]
    return Part(model.__name__, model)


def check_body(vertical: Vertical, kind: Kind, body: Mapping[str, Any]) -> None:
    """Raises GoogleContentRejected with the path of the first fault, in Google's names."""
    try:
        shape_of(vertical, kind).model.model_validate(body)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(step) for step in first["loc"])
        raise GoogleContentRejected(*_fault(first["type"], path, first["msg"])) from invalid


def _fault(kind: str, path: str, message: str) -> tuple[str, str, str]:
    if kind == "extra_forbidden":
        return "unknown", path, "is not known to Google here"
    if kind == "missing":
        return "required", path, "is required by Google"
    return "invalid", path, message[0].lower() + message[1:]


@cache
def _members(model: type[GoogleModel]) -> Mapping[str, Member]:
    model.model_rebuild()  # some are named before they are defined
    return {
        field.alias or name: Member(_of_field(field), field.is_required())
        for name, field in model.model_fields.items()
    }


def _of_field(field: FieldInfo) -> Shape:
    # The numbers of strict_model: a text with a rule of its own is a number of 64 bits.
    if field.metadata and field.annotation is str:
        return "digits"
    return _shape(field.annotation)


def _shape(annotation: Any) -> Shape:
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        [annotation] = [each for each in get_args(annotation) if each is not type(None)]
        return _shape(annotation)
    if origin is Literal:
        return Choice(frozenset(get_args(annotation)))
    if origin is list:
        return Many(_shape(get_args(annotation)[0]))
    if hasattr(annotation, "__metadata__"):
        scalar = get_args(annotation)[0]
        return "digits" if scalar is str else _SCALARS[scalar]
    if isinstance(annotation, type) and issubclass(annotation, GoogleModel):
        return Part(annotation.__name__, annotation)
    return _SCALARS[annotation]
