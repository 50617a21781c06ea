"""What is wrong with the set of images of an Apple template."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from passferry_pass_issuer.domain.linting import LintFinding

SCALES = ("", "@2x", "@3x")
#: Without an icon Wallet silently refuses the pass; the logo is what people know it by.
NEEDED_IMAGES = ("icon", "logo")
ICON_POINTS = 38

#: Roles of images that a style shows; icon and logo are everyone's.
SHOWN: Mapping[str, frozenset[str]] = {
    "storeCard": frozenset({"strip"}),
    "coupon": frozenset({"strip"}),
    "generic": frozenset({"thumbnail"}),
    "eventTicket": frozenset({"strip", "background", "thumbnail"}),
    "boardingPass": frozenset({"footer"}),
    "posterGeneric": frozenset({"background", "artwork", "primaryLogo", "thumbnail"}),
}
_POSTER_TICKET = frozenset({"artwork", "primaryLogo", "secondaryLogo", "background"})
_SEMANTIC_BOARDING = frozenset({"primaryLogo", "secondaryLogo"})


def shown_roles(style: str, schemes: Collection[str]) -> set[str]:
    shown = {*NEEDED_IMAGES, *SHOWN.get(style, ())}
    if "posterEventTicket" in schemes:
        shown |= _POSTER_TICKET
    if "semanticBoardingPass" in schemes:
        shown |= _SEMANTIC_BOARDING
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """`name` is the path in the bundle; pixels are None where the file is no image."""

    name: str
    width: int | None
    height: int | None


def lint_images(
    style: str, schemes: Collection[str], files: Sequence[ImageFile]
) -> Iterator[LintFinding]:
    images = [file for file in files if file.name.endswith(".png")]
    scales: dict[str, set[str]] = {}
    for file in images:
        role, scale = _split(file.name)
        scales.setdefault(role, set()).add(scale)
    for role in NEEDED_IMAGES:
        for scale in SCALES:
            if scale not in scales.get(role, ()):
                yield _finding("error", f"files.{role}{scale}.png", "is required", "image_missing")
    for role, found in scales.items():
        if role not in NEEDED_IMAGES:
            yield from _lint_scales(role, found)
    yield from _lint_roles(style, schemes, scales)
    yield from _lint_icons(images)


def _split(name: str) -> tuple[str, str]:
    """(`de.lproj/logo`, `@2x`) of `de.lproj/logo@2x.png`."""
    stem = name.removesuffix(".png")
    role, at, scale = stem.partition("@")
    return role, at + scale


def _lint_scales(role: str, found: set[str]) -> Iterator[LintFinding]:
    missing = [scale for scale in SCALES if scale not in found]
    if missing:
        names = ", ".join(f"{role}{scale}.png" for scale in missing)
        yield _finding(
            "warning",
            f"files.{role}{missing[0]}.png",
            f"{names} missing: devices of that density scale another, or show none",
            "image_scale_missing",
        )


def _lint_roles(
    style: str, schemes: Collection[str], scales: Mapping[str, set[str]]
) -> Iterator[LintFinding]:
    shown = shown_roles(style, schemes)
    for role in scales:
        plain = role.rpartition("/")[2]
        if plain not in shown:
            yield _finding(
                "warning", f"files.{role}.png", f"is not shown by a {style}", "image_unused"
            )
        if plain != role and plain not in scales:
            yield _finding(
                "warning",
                f"files.{plain}.png",
                "is there in one language only: others see no image",
                "image_missing_for_others",
            )
    if style == "eventTicket" and "strip" in scales and scales.keys() & {"background", "thumbnail"}:
        yield _finding(
            "warning",
            "files.strip.png",
            "a ticket shows either a strip, or a background and thumbnail",
            "image_unused",
        )


def _lint_icons(images: Sequence[ImageFile]) -> Iterator[LintFinding]:
    for file in images:
        role, scale = _split(file.name)
        points = ICON_POINTS * int(scale[1:2] or 1) if scale[1:2].isdigit() or not scale else 0
        if role == "icon" and file.width is not None and file.width < points:
            yield _finding(
                "warning",
                f"files.{file.name}",
                f"is {file.width} pixels wide; {points} are shown sharply",
                "image_small",
            )


def _finding(severity: str, path: str, message: str, code: str) -> LintFinding:
    return LintFinding(
        severity="error" if severity == "error" else "warning",
        path=path,
        message=message,
        code=code,
    )
