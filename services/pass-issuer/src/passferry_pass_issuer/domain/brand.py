"""How a workspace looks where its templates say nothing of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from passferry_pass_issuer.domain.apple_image_linting import shown_roles

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """The images are files of their own; None: templates have to say it themselves."""

    organization_name: str | None = None
    logo_text: str | None = None
    #: Of Apple's passes.
    background_color: str | None = None
    foreground_color: str | None = None
    label_color: str | None = None
    #: Of Google's passes.
    hex_background_color: str | None = None
    logo_url: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a template says what a member of the brand says."""

    member: str
    wallet: str
    name: str
    #: The same in the wallet's own words: who says it there has said it.
    elsewhere: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"{self.wallet}.{self.name}"


_LOGOS = (
    "class.programLogo",
    "class.titleImage",
    "class.logo",
    "class.flightHeader.carrier.airlineLogo",
    "object.logo",
)
_COLOURS = ("class.hexBackgroundColor", "object.hexBackgroundColor")
_PLACES = (
    _Place("organization_name", "apple", "organization_name", ("document.organizationName",)),
    _Place("logo_text", "apple", "logo_text", ("document.logoText",)),
    _Place("background_color", "apple", "background_color", ("document.backgroundColor",)),
    _Place("foreground_color", "apple", "foreground_color", ("document.foregroundColor",)),
    _Place("label_color", "apple", "label_color", ("document.labelColor",)),
    _Place("organization_name", "google", "issuer_name", ("class.issuerName",)),
    _Place("hex_background_color", "google", "hex_background_color", _COLOURS),
    _Place("logo_url", "google", "logo_url", _LOGOS),
)
#: A ticket shows either a strip, or these.
_BESIDE_NO_STRIP = frozenset({"background", "thumbnail"})


def with_brand(content: Mapping[str, Any], brand: Brand) -> tuple[dict[str, Any], list[str]]:
    """A template's content with what it leaves to the brand, and the paths of that."""
    filled = {
        name: dict(part) if isinstance(part, Mapping) else part for name, part in content.items()
    }
    taken = []
    for place in _PLACES:
        part, value = filled.get(place.wallet), getattr(brand, place.member)
        if value is None or not isinstance(part, dict):
            continue
        if any(_says(part, path) for path in (place.name, *place.elsewhere)):
            continue
        part[place.name] = value
        taken.append(place.path)
    return filled, taken


def as_given(content: Mapping[str, Any], taken: Collection[str]) -> tuple[Body, Body]:
    """`content` without what it took of a brand, and that by its path: whoever sends it again as it
    was shown leaves the same to the brand."""
    given = {
        name: dict(part) if isinstance(part, Mapping) else part for name, part in content.items()
    }
    values = {}
    for place in _PLACES:
        part = given.get(place.wallet)
        if place.path in taken and isinstance(part, dict):
            values[place.path] = part.pop(place.name, None)
    return given, values


def _says(part: Any, path: str) -> bool:
    for name in path.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    return part is not None


def changed_paths(before: Brand, after: Brand) -> list[str]:
    """The members of templates that such a change is about."""
    return [
        place.path
        for place in _PLACES
        if getattr(before, place.member) != getattr(after, place.member)
    ]


def image_path(role: str) -> str:
    return f"files.{role}"


def role_of(name: str) -> str:
    """`logo` of `logo@2x.png`; of an image for one language its folder too."""
    return name.removesuffix(".png").partition("@")[0]


def roles_taken(
    style: str, schemes: Collection[str], *, own: Collection[str], offered: Collection[str]
) -> set[str]:
    """Roles of images that a template leaves to the brand, and that its style shows."""
    taken = (set(offered) - set(own)) & shown_roles(style, schemes)
    if style != "eventTicket":
        return taken
    if "strip" in own:
        return taken - _BESIDE_NO_STRIP
    return taken - {"strip"} if (taken | set(own)) & _BESIDE_NO_STRIP else taken
