"""What the format asks for at each place of pass.json, read once from the typed models."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Annotated, Any, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from passferry_wallet.apple.document.parts import Part, ZonedDate
from passferry_wallet.apple.document.quick_checks import QuickCheck, annotation_of, quick_check
from passferry_wallet.apple.document.reading import rejection
from passferry_wallet.apple.document.semantics import Semantics
from passferry_wallet.apple.document.whole import ApplePass


class Place:
    """Where a value stands. Of keys that we do not know anything may be said."""

    def __init__(self, annotation: Any, *, needs: bool = True) -> None:
        self._annotation = annotation
        found = _bare(annotation)
        self._model = found if isinstance(found, type) and issubclass(found, Part) else None
        self._items = Place(get_args(found)[0]) if get_origin(found) is list else None
        self._needs = needs
        self.is_text = found is str
        #: A date with its zone, as the writer writes every date.
        self.is_date = annotation == ZonedDate

    @property
    def required(self) -> frozenset[str]:
        """Members without which the object is refused."""
        if self._model is None or not self._needs:
            return frozenset()
        return _required(self._model)

    def member(self, name: str) -> Place:
        return ANYWHERE if self._model is None else _members(self._model).get(name, ANYWHERE)

    def item(self) -> Place:
        return self._items or ANYWHERE

    def check(self, value: Any, where: str) -> None:
        """Numbers with decimals come as Decimal. Raises PassContentRejected with the path."""
        if self._is_surely(value):
            return
        try:
            self._adapter.validate_python(value)
        except ValidationError as error:
            raise rejection(error, where) from None

    @cached_property
    def _is_surely(self) -> QuickCheck:
        return quick_check(self._annotation)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        # Models are strict by themselves, and want no second opinion.
        config = None if self._model is not None else ConfigDict(strict=True)
        return TypeAdapter(self._annotation, config=config)


@cache
def document_place() -> Place:
    """The whole of pass.json, of which a template's document says a part."""
    return Place(ApplePass, needs=False)


@cache
def semantics_place() -> Place:
    return Place(Semantics)


@cache
def _members(model: type[Part]) -> Mapping[str, Place]:
    return {
        field.alias or name: Place(annotation_of(field))
        for name, field in model.model_fields.items()
    }


@cache
def _required(model: type[Part]) -> frozenset[str]:
    fields = model.model_fields.items()
    return frozenset(field.alias or name for name, field in fields if field.is_required())


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


ANYWHERE = Place(Any)
