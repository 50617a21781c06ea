"""Reading the values that an example pass is drawn with."""

from __future__ import annotations

from collections.abc import Mapping

from passferry_contracts.text import is_storable
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.node import MAX_TEXT, Node

MAX_EXAMPLE_VALUES = 200


def example_values(node: Node) -> Mapping[str, str | int | bool]:
    names = node.members()
    if len(names) > MAX_EXAMPLE_VALUES:
        raise ContentRejected(
            "too_many", node.path, f"must have at most {MAX_EXAMPLE_VALUES} values"
        )
    found: dict[str, str | int | bool] = {}
    for name in names:
        given = node.get(name)
        is_text = isinstance(given, str | int) and len(str(given)) <= MAX_TEXT
        if not is_text or not is_storable(f"{name}{given}"):
            raise ContentRejected(
                "invalid", node.at(name[:64]), "must be a text, a number or a flag"
            )
        found[name] = given
    return found
