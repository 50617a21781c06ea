"""Words of a template as Google takes them, in one language or in several."""

from __future__ import annotations

from typing import Any

from passferry_pass_issuer.domain.google_template import Piece, Words

Tree = dict[str, Any]


def localised(words: Words, language: str) -> Piece:
    told: Tree = {"defaultValue": {"language": language, "value": words.text}}
    if words.translations:
        told["translatedValues"] = [
            {"language": other, "value": text} for other, text in sorted(words.translations.items())
        ]
    return told


def say(tree: Tree, name: str, words: Words, language: str) -> None:
    """The plain member, and beside it the localised one where there are translations."""
    tree[name] = words.text
    if words.translations:
        tree[f"localized{name[0].upper()}{name[1:]}"] = localised(words, language)
