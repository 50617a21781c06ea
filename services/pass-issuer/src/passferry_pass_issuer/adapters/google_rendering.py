"""What a template shows of a pass in Google Wallet: compiled once, drawn per pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from passferry_contracts.types import PassStatus, Protocol
from passferry_pass_issuer.adapters.recently_used import RecentlyUsed
from passferry_pass_issuer.domain.field_mapping import Scaled, evaluate_text, reading
from passferry_pass_issuer.domain.google_ids import class_suffix, object_suffix, vertical_of
from passferry_pass_issuer.domain.google_pieces import object_tree
from passferry_pass_issuer.domain.google_states import google_state
from passferry_pass_issuer.domain.google_template import FirstOf, GoogleContent
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import ValueExpression
from passferry_wallet.google.content import Amount, Value
from passferry_wallet.google.drawing import Draw, Reader, compile_body
from passferry_wallet.google.values import resource_id

#: Template versions in use at one time, and their content as JSON together; another is compiled
#: again.
MAX_COMPILED = 1_000
MAX_CONTENT_BYTES = 32_000_000
#: A pass that ended opens nothing any more.
KEYS_OF_DOORS = ("barcode", "rotatingBarcode", "smartTapRedemptionValue")

CompiledKey = tuple[UUID, UUID, int, Protocol]


@dataclass(frozen=True, slots=True)
class _Compiled:
    #: What it was made of: a draft keeps its number while it is changed.
    content: GoogleContent
    issuer_id: str
    draw: Draw
    #: Of the class of each tier; None: of a pass whose tier has none.
    class_ids: Mapping[str | None, str]
    #: An object's id is this and the pass's.
    object_prefix: str


class GoogleDrawings:
    """Keeps what was compiled, by template version, while it is used."""

    def __init__(self) -> None:
        self._compiled: RecentlyUsed[CompiledKey, _Compiled] = RecentlyUsed(
            most=MAX_COMPILED, most_bytes=MAX_CONTENT_BYTES
        )

    def object_body(
        self, subject: RenderSubject, google: GoogleContent, issuer_id: str
    ) -> dict[str, Any]:
        """Raises GoogleContentRejected for values that Google would refuse."""
        compiled = self._compiled_for(subject, google, issuer_id)
        tier = evaluate_text(google.tiers.source, subject) if google.tiers is not None else None
        body = {**_names(compiled, subject, tier), **compiled.draw(subject)}
        if subject.status is not PassStatus.ACTIVE:
            body.update(dict.fromkeys(body.keys() & KEYS_OF_DOORS))
        return body | _without_messages(subject)

    def bare_object_body(
        self, subject: RenderSubject, google: GoogleContent, issuer_id: str
    ) -> dict[str, Any]:
        """An object that ended and shows nothing of its pass; what Google requires is neutral."""
        compiled = self._compiled_for(subject, google, issuer_id)
        vertical = vertical_of(subject.program.protocol, google)
        bare = {**_names(compiled, subject, None), **_neutral(vertical, subject, google)}
        return bare | _without_messages(subject)

    def _compiled_for(
        self, subject: RenderSubject, google: GoogleContent, issuer_id: str
    ) -> _Compiled:
        template, protocol = subject.template, subject.program.protocol
        key = (template.workspace_id, template.template_id, template.template_version, protocol)
        known = self._compiled.get(key)
        if known is not None and known.content is google and known.issuer_id == issuer_id:
            return known
        compiled = _compiled(subject, google, issuer_id)
        self._compiled.keep(key, compiled, size=template.content_bytes)
        return compiled


def _without_messages(subject: RenderSubject) -> dict[str, Any]:
    """What was sent to a deleted pass may name its holder, and leaves it too."""
    return {"messages": None} if subject.status is PassStatus.DELETED else {}


def _names(compiled: _Compiled, subject: RenderSubject, tier: str | None) -> dict[str, Any]:
    return {
        "id": f"{compiled.object_prefix}{subject.pass_id}",
        "classId": compiled.class_ids.get(tier) or compiled.class_ids[None],
        "state": google_state(subject.status, subject.status_reason),
    }


def _neutral(vertical: str, subject: RenderSubject, google: GoogleContent) -> dict[str, Any]:
    """What a vertical requires of its objects, in words that name nobody."""
    name = subject.program.name
    match vertical:
        case "generic":
            words = {"defaultValue": {"language": google.language, "value": name}}
            return {"cardTitle": words, "header": words}
        case "giftCard":
            return {"cardNumber": str(subject.pass_id)}
        case "flight":
            # Google merges: what is not said again stays.
            gone = dict.fromkeys(("eticketNumber", "frequentFlyerInfo"))
            return {"passengerName": name, "reservationInfo": {"confirmationCode": "-", **gone}}
        case "transit":
            return {"tripType": "ONE_WAY"}
        case _:
            return {}


def _compiled(subject: RenderSubject, google: GoogleContent, issuer_id: str) -> _Compiled:
    workspace_id, template_id = subject.workspace_id, subject.template.template_id
    keys = {None: None} | {
        level.value: level.key for level in (google.tiers.levels if google.tiers else ())
    }
    # Ids are checked here once: those of passes differ in nothing but a UUID.
    object_id = resource_id(issuer_id, object_suffix(workspace_id, subject.pass_id))
    return _Compiled(
        content=google,
        issuer_id=issuer_id,
        draw=compiled_object(google, subject.program.protocol),
        class_ids={
            value: resource_id(issuer_id, class_suffix(workspace_id, template_id, key))
            for value, key in keys.items()
        },
        object_prefix=object_id.removesuffix(str(subject.pass_id)),
    )


def compiled_object(google: GoogleContent, protocol: Protocol) -> Draw:
    """All of an object but its id, its class and its state."""
    vertical = vertical_of(protocol, google)
    return compile_body(
        vertical,
        "Object",
        with_constants(object_tree(google, vertical)),
        reader_of=_readers(google.currency),
        language=google.language,
        where="google.object",
    )


def with_constants(node: Any) -> Any:
    """The same tree, with the text of expressions that are constants in their place."""
    if isinstance(node, ValueExpression) and node.source == "text":
        return node.text
    if isinstance(node, Mapping):
        return {name: with_constants(value) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [with_constants(value) for value in node]
    return node


def _readers(currency: str | None) -> Callable[[Any], Reader | None]:
    def reader_of(leaf: Any) -> Reader | None:
        if isinstance(leaf, FirstOf):
            several = [_reader(expression, currency) for expression in leaf.expressions]
            return lambda subject: next(
                (value for read in several if (value := read(subject)) not in {None, ""}), None
            )
        return _reader(leaf, currency) if isinstance(leaf, ValueExpression) else None

    return reader_of


def _reader(expression: ValueExpression, currency: str | None) -> Reader:
    is_money, value_of = expression.format == "currency", reading(expression)

    def read(subject: RenderSubject) -> Value | None:
        shown = value_of(subject)
        if isinstance(shown, Scaled):
            code = (currency or subject.unit) if is_money else None
            return Amount(shown.unscaled, shown.scale, code)
        return shown

    return read
