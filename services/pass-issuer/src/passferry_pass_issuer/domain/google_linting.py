"""What people with Google Wallet would find wrong with a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from passferry_pass_issuer.domain.google_pieces import class_tree, object_tree
from passferry_pass_issuer.domain.google_template import GoogleContent, GoogleVertical, Words
from passferry_pass_issuer.domain.linting import LEFT_TO_NOBODY, LintFinding, Severity
from passferry_pass_issuer.domain.value_expression import ValueExpression

#: What small screens show; Google cuts the rest.
SHORT_TEXTS = {
    "issuer_name": 20,
    "balance_label": 9,
    "secondary_balance.label": 9,
    "rewards_tier": 7,
    "app_link.display_text": 30,
}
TITLE_LENGTHS = {"loyalty": 20, "offer": 60}
MAX_ACCOUNT = 20
MAX_BALANCE = 7
MAX_LOCATIONS = 10
MAX_MODULE_HEADER, MAX_MODULE_BODY = 60, 50
#: More are kept, and not shown: of the class, and again of the object.
SHOWN_MODULES = {"textModulesData": 10, "imageModulesData": 1, "valueAddedModuleData": 15}

REQUIRED_OF_CLASS: Mapping[GoogleVertical, tuple[str, ...]] = {
    "loyalty": ("programName", "programLogo"),
    "giftCard": (),
    "offer": ("title", "provider", "redemptionChannel"),
    "eventTicket": ("eventName",),
    "flight": ("origin", "destination", "flightHeader", "localScheduledDepartureDateTime"),
    "transit": ("logo", "transitType"),
    "generic": (),
}
REQUIRED_OF_OBJECT: Mapping[GoogleVertical, tuple[str, ...]] = {
    "flight": ("passengerName", "reservationInfo"),
    "transit": ("tripType",),
    "giftCard": ("cardNumber",),
    "generic": ("cardTitle", "header"),
}
#: What a template says in a member of its own, by Google's name.
_MEMBER_OF = {"programLogo": "google.logo_url", "logo": "google.logo_url"}
_DEPRECATED = {
    "infoModuleData": "say it in textModulesData",
    "wordMark": "is no longer shown",
    "locations": "reminds nobody any more: say it in locations of the template",
    "allowMultipleUsersPerObject": "say it in holders_allowed",
    "iosAppLinkInfo": "links to apps of iOS are not supported",
    "appLogoImage": "is not supported",
}


def lint_google(google: GoogleContent, vertical: GoogleVertical) -> list[LintFinding]:
    """In the order in which people look at a pass: first what keeps it from being one."""
    trees = {
        "class": class_tree(google, vertical),
        "object": object_tree(google, vertical),
    }
    return [
        *_lint_name(google),
        *_lint_required(trees, vertical),
        *_lint_limits(trees),
        *_lint_lengths(google, vertical),
        *_lint_accounts(google),
        *_lint_images(google, trees),
        *_lint_looks(google, vertical),
        *_lint_code(google, trees["object"], vertical),
        *_lint_notifications(google, vertical),
        *_lint_holders(google, vertical),
        *_lint_languages(google),
        *_lint_deprecated(trees),
    ]


def _error(path: str, message: str, code: str) -> LintFinding:
    return _finding("error", path, message, code)


def _warning(path: str, message: str, code: str) -> LintFinding:
    return _finding("warning", path, message, code)


def _finding(severity: Severity, path: str, message: str, code: str) -> LintFinding:
    return LintFinding(severity=severity, path=path, message=message, code=code)


def _lint_name(google: GoogleContent) -> Iterator[LintFinding]:
    if not google.issuer_name.text:
        yield _error("google.issuer_name", LEFT_TO_NOBODY, "required")


def _lint_required(
    trees: Mapping[str, Mapping[str, Any]], vertical: GoogleVertical
) -> Iterator[LintFinding]:
    for kind, required in (
        ("class", REQUIRED_OF_CLASS[vertical]),
        ("object", REQUIRED_OF_OBJECT.get(vertical, ())),
    ):
        for name in required:
            if name not in trees[kind]:
                path = _MEMBER_OF.get(name, f"google.{kind}.{name}")
                yield _error(path, f"Google requires it of a {vertical} pass.", "required")


def _lint_limits(trees: Mapping[str, Mapping[str, Any]]) -> Iterator[LintFinding]:
    for kind, tree in trees.items():
        for name, most in SHOWN_MODULES.items():
            if len(_items(tree, name)) > most:
                yield _warning(
                    f"google.{kind}.{name}",
                    f"Google shows {most} of them of the {kind}, and no more.",
                    "too_many_shown",
                )
        for name, what in (("merchantLocations", "places"), ("messages", "messages")):
            if len(_items(tree, name)) > MAX_LOCATIONS:
                yield _error(
                    f"google.{kind}.{name}",
                    f"Google refuses a pass with more than {MAX_LOCATIONS} {what}.",
                    "too_many",
                )
        for place, module in enumerate(_items(tree, "valueAddedModuleData")):
            yield from _lint_module(module, f"google.{kind}.valueAddedModuleData.{place}")


def _items(tree: Mapping[str, Any], name: str) -> Sequence[Any]:
    """None where a piece says something else than a list: drawing the example tells of that."""
    found = tree.get(name)
    return found if isinstance(found, list | tuple) else ()


def _lint_module(module: Any, path: str) -> Iterator[LintFinding]:
    if not isinstance(module, Mapping):
        return
    for name, most in (("header", MAX_MODULE_HEADER), ("body", MAX_MODULE_BODY)):
        text = _default_text(module.get(name))
        if len(text) > most:
            yield _warning(f"{path}.{name}", f"Google cuts it after {most} characters.", "too_long")


def _default_text(words: Any) -> str:
    if isinstance(words, Mapping):
        words = words.get("defaultValue", {})
        words = words.get("value") if isinstance(words, Mapping) else None
    return words if isinstance(words, str) else ""


def _lint_lengths(google: GoogleContent, vertical: GoogleVertical) -> Iterator[LintFinding]:
    secondary, app_link = google.secondary_balance, google.app_link
    named = {
        "issuer_name": google.issuer_name,
        "balance_label": google.balance_label,
        "secondary_balance.label": secondary.label if secondary else None,
        "rewards_tier": google.rewards_tier,
        "app_link.display_text": app_link.display_text if app_link else None,
    }
    lengths = dict(SHORT_TEXTS)
    if vertical in TITLE_LENGTHS:
        named["title"], lengths["title"] = google.title, TITLE_LENGTHS[vertical]
    for name, words in named.items():
        yield from _too_long(f"google.{name}", words, lengths[name])
    for level in google.tiers.levels if google.tiers else ():
        path = f"google.tiers.levels.{level.key}.rewards_tier"
        yield from _too_long(path, level.rewards_tier, SHORT_TEXTS["rewards_tier"])


def _too_long(path: str, words: Words | None, most: int) -> Iterator[LintFinding]:
    if words is None:
        return
    for language, text in {"": words.text, **words.translations}.items():
        if len(text) > most:
            where = f"{path}.translations.{language}" if language else path
            message = f"Small screens show {most} characters of it, and it has {len(text)}."
            yield _warning(where, message, "too_long")


def _lint_accounts(google: GoogleContent) -> Iterator[LintFinding]:
    secondary = google.secondary_balance
    for name, expression, most in (
        ("account_id", google.account_id, MAX_ACCOUNT),
        ("account_name", google.account_name, MAX_ACCOUNT),
        ("secondary_balance.value", secondary.value if secondary else None, MAX_BALANCE),
    ):
        text = _known_text(expression)
        if len(text) > most:
            message = f"Small screens show {most} characters of it."
            yield _warning(f"google.{name}", message, "too_long")


def _known_text(expression: ValueExpression | None) -> str:
    """What the template itself would show there."""
    if expression is None:
        return ""
    if expression.source == "text":
        return expression.text
    return str(expression.default or "")


def _lint_images(
    google: GoogleContent, trees: Mapping[str, Mapping[str, Any]]
) -> Iterator[LintFinding]:
    for kind, tree in trees.items():
        for path, address in _images(tree, f"google.{kind}"):
            if not address.startswith("https://"):
                yield _warning(path, "Google fetches images over https alone.", "image_not_https")
    for level in google.tiers.levels if google.tiers else ():
        for name in ("hero_image_url", "logo_url"):
            address = getattr(level, name)
            if address is not None and not address.startswith("https://"):
                path = f"google.tiers.levels.{level.key}.{name}"
                yield _warning(path, "Google fetches images over https alone.", "image_not_https")


def _images(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Paths and addresses of all images that are the same for every pass."""
    if isinstance(node, Mapping):
        source = node.get("sourceUri")
        if isinstance(source, Mapping) and isinstance(source.get("uri"), str):
            yield path, source["uri"]
        for name, value in node.items():
            yield from _images(value, f"{path}.{name}")
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from _images(value, f"{path}.{place}")


def _lint_looks(google: GoogleContent, vertical: GoogleVertical) -> Iterator[LintFinding]:
    if google.logo_url is None and vertical in {"giftCard", "offer", "eventTicket", "generic"}:
        yield _warning("google.logo_url", "Without a logo the pass shows a letter.", "logo_missing")


def _lint_code(
    google: GoogleContent, tree: Mapping[str, Any], vertical: GoogleVertical
) -> Iterator[LintFinding]:
    doors = {"barcode", "rotatingBarcode", "smartTapRedemptionValue"}
    if vertical != "generic" and not doors & tree.keys():
        yield _warning("google.barcode", "There is nothing on the pass to scan.", "barcode_missing")
    if google.smart_tap is not None and google.barcode is None:
        yield _warning(
            "google.barcode", "Readers without NFC have nothing to scan.", "barcode_missing"
        )


def _lint_notifications(google: GoogleContent, vertical: GoogleVertical) -> Iterator[LintFinding]:
    asked = google.notifications
    if vertical != "generic":
        if asked is not None:
            yield _error("google.notifications", "Only generic passes have them.", "unknown")
        return
    if asked is None or not (asked.expiry or asked.upcoming):
        yield _warning(
            "google.notifications",
            "Changes of a generic pass notify nobody; only its beginning or its end can.",
            "never_notifies",
        )
    elif asked.expiry and asked.upcoming:
        yield _warning(
            "google.notifications", "Of the two Google sends the one for the expiry.", "one_only"
        )


def _lint_holders(google: GoogleContent, vertical: GoogleVertical) -> Iterator[LintFinding]:
    if google.holders_allowed == "MULTIPLE_HOLDERS" and vertical in {"offer", "giftCard"}:
        yield _warning(
            "google.holders_allowed",
            "Several people can hold and try to use one and the same pass.",
            "shared_value",
        )


def _lint_languages(google: GoogleContent) -> Iterator[LintFinding]:
    for name in ("issuer_name", "title", "balance_label", "rewards_tier"):
        words = getattr(google, name)
        if isinstance(words, Words) and google.language in words.translations:
            yield _warning(
                f"google.{name}.translations.{google.language}",
                "The text itself is in this language already.",
                "duplicate",
            )


def _lint_deprecated(trees: Mapping[str, Mapping[str, Any]]) -> Iterator[LintFinding]:
    for kind, tree in trees.items():
        for path, name in _names(tree, f"google.{kind}"):
            if name in _DEPRECATED:
                yield _warning(path, f"{_DEPRECATED[name].capitalize()}.", "deprecated")


def _names(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield f"{path}.{name}", name
            yield from _names(value, f"{path}.{name}")
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from _names(value, f"{path}.{place}")
