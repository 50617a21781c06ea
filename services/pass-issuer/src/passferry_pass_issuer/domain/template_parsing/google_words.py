"""Reading words that may be translated."""

from __future__ import annotations

import re
from collections.abc import Mapping

from passferry_pass_issuer.domain.google_template import Told, Words
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.node import MAX_TEXT, Node
from passferry_pass_issuer.domain.template_parsing.values import optional_value

MAX_LANGUAGES = 40

#: BCP 47, as far as wallets go: `de`, `pt-BR`, `zh-Hant-TW`.
LANGUAGE = re.compile(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}\Z")


def words(node: Node, name: str, *, most: int = MAX_TEXT) -> Words:
    found = optional_words(node, name, most=most)
    if found is None or not found.text:
        raise ContentRejected("required", node.at(name), "is required")
    return found


def optional_words(node: Node, name: str, *, most: int = MAX_TEXT) -> Words | None:
    """Plain text, or `{"text", "translations": {"de": …}}`."""
    if isinstance(node.get(name), str):
        text = node.optional_text(name, most=most)
        return Words(text or "")
    return node.optional_child(name, lambda inner: _words(inner, most))


def told(node: Node, name: str) -> Told:
    found = optional_told(node, name)
    if found is None:
        raise ContentRejected("required", node.at(name), "is required")
    return found


def optional_told(node: Node, name: str) -> Told | None:
    """Words of the template, or an expression."""
    given = node.get(name)
    if isinstance(given, Mapping) and "source" in given:
        return optional_value(node, name)
    return optional_words(node, name)


def _words(node: Node, most: int) -> Words:
    translations = node.optional_child("translations", lambda inner: _translations(inner, most))
    return Words(node.text("text", most=most), translations or {})


def _translations(node: Node, most: int) -> dict[str, str]:
    names = node.members()
    if len(names) > MAX_LANGUAGES:
        raise ContentRejected("too_many", node.path, f"has more than {MAX_LANGUAGES} languages")
    for name in names:
        if not LANGUAGE.match(name):
            raise ContentRejected("invalid", node.path, "has a name that is no language")
    return {name: node.text(name, most=most) for name in names}
