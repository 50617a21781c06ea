"""Writes what stands beside the content of a pass: links, actions, apps, semantics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from passferry_wallet.apple.pass_content import FeaturedAction, PassContent
from passferry_wallet.apple.pass_values import items_at_most, positive, required_text, url
from passferry_wallet.apple.rejections import PassContentRejected

MAX_FEATURED_ACTIONS = 2
MAX_STORE_IDENTIFIERS = 20


def add_extras(written: dict[str, Any], content: PassContent) -> None:
    if content.featured_actions:
        written["featuredActions"] = featured_actions(content.featured_actions)
    _add_store_identifiers(written, content)
    if content.app_launch_url is not None:
        if "associatedStoreIdentifiers" not in written:
            raise PassContentRejected(
                "app_missing", "app_launch_url", "needs associated_store_identifiers"
            )
        written["appLaunchURL"] = app_address(content.app_launch_url)
    if content.semantics is not None:
        written["semantics"] = dict(content.semantics)
    for name, address in content.links.items():
        written[name] = link(name, address)


def featured_actions(actions: Sequence[FeaturedAction]) -> list[dict[str, str]]:
    items_at_most(actions, MAX_FEATURED_ACTIONS, "featured_actions")
    return [_featured_action(action, f"featured_actions.{at}") for at, action in enumerate(actions)]


def app_address(address: str) -> str:
    """What an app of the pass is opened with."""
    return required_text(address, "app_launch_url")


def link(name: str, address: str) -> str:
    """The address under a key of Apple's; some are no addresses of the web."""
    check = url if name.endswith(("URL", "Website")) else required_text
    return check(address, f"links.{name}")


def _add_store_identifiers(written: dict[str, Any], content: PassContent) -> None:
    for key, name, numbers in (
        (
            "associatedStoreIdentifiers",
            "associated_store_identifiers",
            content.associated_store_identifiers,
        ),
        (
            "auxiliaryStoreIdentifiers",
            "auxiliary_store_identifiers",
            content.auxiliary_store_identifiers,
        ),
    ):
        items_at_most(numbers, MAX_STORE_IDENTIFIERS, name)
        if numbers:
            written[key] = [positive(number, name) for number in numbers]


def _featured_action(action: FeaturedAction, where: str) -> dict[str, str]:
    written = {
        "identifier": required_text(action.identifier, f"{where}.identifier"),
        "type": required_text(action.type, f"{where}.type"),
    }
    if action.url is not None:
        written["url"] = url(action.url, f"{where}.url")
    return written
