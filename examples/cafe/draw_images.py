"""Draws the images of both example templates: icon, logo and strip at 1x, 2x and 3x.

Everything is drawn large and scaled down, so that edges are smooth. Lettering is Pillow's own
font, so the result does not depend on what is installed. Run it to write the PNG files again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

Point = tuple[float, float]
Colour = tuple[int, int, int] | tuple[int, int, int, int]

HERE = Path(__file__).parent
SCALES = {"": 1, "@2x": 2, "@3x": 3}
#: Pixels per point while drawing: four for each pixel of the largest file.
DRAWN = 12
#: Sizes in points.
ICON, LOGO, STRIP = (38, 38), (160, 50), (375, 144)

CREAM = (251, 242, 228)
ESPRESSO = (62, 36, 24)
APRICOT = (245, 166, 98)
SUN = (255, 214, 150)
SKY = ((9, 38, 50), (17, 66, 78), (64, 116, 116), (242, 176, 116))
SEA = ((26, 92, 100), (18, 76, 86), (13, 60, 71), (9, 45, 56), (7, 35, 45))

LAMP = (255, 222, 140)
PAPER = (246, 238, 222)
NIGHT = ((20, 18, 46), (38, 30, 74), (78, 48, 100), (150, 82, 112))
SPINES = ((214, 84, 76), (236, 178, 88), (86, 140, 148), (232, 222, 202), (122, 82, 132))
ROCK = ((40, 28, 62), (28, 20, 48), (19, 14, 36))


class Scene:
    """A canvas whose coordinates are points."""

    def __init__(self, size: tuple[int, int], background: Colour | None = None) -> None:
        self.width, self.height = size
        pixels = (size[0] * DRAWN, size[1] * DRAWN)
        self.image = Image.new("RGBA", pixels, background or (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([(x * DRAWN, y * DRAWN) for x, y in points], fill=colour)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        pixels = [(x * DRAWN, y * DRAWN) for x, y in points]
        self._draw.line(pixels, fill=colour, width=round(width * DRAWN), joint="curve")
        for x, y in (points[0], points[-1]):
            self.disc((x, y), width / 2, colour)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        self.ellipse(centre, (radius, radius), colour)

    def ellipse(self, centre: Point, radii: Point, colour: Colour) -> None:
        (x, y), (rx, ry) = centre, radii
        box = [(x - rx) * DRAWN, (y - ry) * DRAWN, (x + rx) * DRAWN, (y + ry) * DRAWN]
        self._draw.ellipse(box, fill=colour)

    def ring(self, centre: Point, radii: Point, colour: Colour, width: float) -> None:
        (x, y), (rx, ry) = centre, radii
        box = [(x - rx) * DRAWN, (y - ry) * DRAWN, (x + rx) * DRAWN, (y + ry) * DRAWN]
        self._draw.ellipse(box, outline=colour, width=round(width * DRAWN))

    def box(self, corner: Point, size: Point, colour: Colour, radius: float = 0) -> None:
        (x, y), (width, height) = corner, size
        pixels = [x * DRAWN, y * DRAWN, (x + width) * DRAWN, (y + height) * DRAWN]
        self._draw.rounded_rectangle(pixels, radius=radius * DRAWN, fill=colour)

    def gradient(self, stops: Sequence[Colour], bottom: float) -> None:
        """Fill from the top to `bottom` with evenly spaced stops."""
        rows = round(bottom * DRAWN)
        for row in range(rows):
            place = row / rows * (len(stops) - 1)
            index = min(int(place), len(stops) - 2)
            colour = _mix(stops[index], stops[index + 1], place - index)
            self._draw.line([(0, row), (self.width * DRAWN, row)], fill=colour)

    def text(self, corner: Point, words: str, size: float, colour: Colour, spacing: float) -> float:
        """Write letter by letter with extra `spacing`; returns where the text ends."""
        font = ImageFont.load_default(size * DRAWN)
        x, y = corner[0] * DRAWN, corner[1] * DRAWN
        for letter in words:
            plain = "a" if letter == "ä" else letter  # the font has no umlauts: dots are drawn
            self._draw.text((x, y), plain, font=font, fill=colour, anchor="ls")
            width = font.getlength(plain)
            if letter != plain:
                for place in (0.30, 0.70):
                    dot = ((x + width * place) / DRAWN, corner[1] - size * 0.635)
                    self.disc(dot, size * 0.058, colour)
            x += width + spacing * DRAWN
        return x / DRAWN - spacing

    def lay_over(self, other: Scene, blur: float = 0) -> None:
        """Put another scene of this size on top, softened by `blur` points.

        A blurred scene should have its colour as transparent background, or its edges darken.
        """
        layer = other.image
        if blur:
            layer = layer.filter(ImageFilter.GaussianBlur(blur * DRAWN))
        self.image.alpha_composite(layer)

    def save(self, directory: Path, name: str, *, is_opaque: bool) -> None:
        for suffix, scale in SCALES.items():
            size = (self.width * scale, self.height * scale)
            small = self.image.resize(size, Image.Resampling.LANCZOS)
            small = small.convert("RGB") if is_opaque else small
            small.save(directory / f"{name}{suffix}.png", optimize=True)


def _mix(first: Colour, second: Colour, share: float) -> tuple[int, int, int]:
    mixed = [round(a + (b - a) * share) for a, b in zip(first[:3], second[:3], strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _wave(width: float, level: float, height: float, length: float, phase: float) -> list[Point]:
    """The crest of a swell, rounder below and more pointed above."""
    points = []
    for step in range(int(width * 2) + 1):
        x = step / 2
        angle = (x / length + phase) * 2 * math.pi
        points.append((x, level - height * (math.sin(angle) + 0.22 * math.sin(2 * angle + 0.6))))
    return points


def _swell(scene: Scene, level: float, height: float, length: float, phase: float,
           colour: Colour) -> None:  # fmt: skip
    crest = _wave(scene.width, level, height, length, phase)
    scene.polygon([*crest, (scene.width, scene.height), (0, scene.height)], colour)


def _steam(scene: Scene, foot: Point, height: float, sway: float, phase: float, width: float,
           alpha: int) -> None:  # fmt: skip
    """A curl of steam that widens its sway and thins out as it rises."""
    x, y = foot
    steps = 70
    for step in range(steps):
        share = step / steps
        offset = math.sin(share * 2.3 * math.pi + phase) * sway * (0.25 + share)
        thickness = width * (0.55 + 0.9 * math.sin(share * math.pi)) * (1 - 0.45 * share)
        fade = round(alpha * (1 - share) ** 0.8 * min(1, 6 * share + 0.2))
        scene.disc((x + offset, y - share * height), thickness, (*CREAM, fade))


def _cup(scene: Scene, centre: Point, width: float, *, portholes: bool = True) -> None:
    """A cup that is also the hull of a ferry; `centre` is the middle of its rim."""
    x, y = centre
    half, depth = width / 2, width * 0.62
    scene.ring(
        (x + half * 0.98, y + depth * 0.40), (half * 0.36, depth * 0.30), CREAM, width * 0.085
    )
    hull = [(x - half, y)]
    for step in range(41):
        angle = math.pi * step / 40
        hull.append((x - math.cos(angle) * half * (1 - 0.10 * math.sin(angle)),
                     y + math.sin(angle) ** 0.62 * depth))  # fmt: skip
    scene.polygon(hull, CREAM)
    shade = [(x + half, y)]
    for step in range(21):
        angle = math.pi / 2 * step / 20
        shade.append((x + math.cos(angle) * half * (1 - 0.10 * math.sin(angle)),
                      y + math.sin(angle) ** 0.62 * depth))  # fmt: skip
    shade += [(x + half * 0.40, y + depth * 0.9), (x + half * 0.62, y)]
    scene.polygon(shade, (236, 220, 198))
    scene.ellipse((x, y), (half, half * 0.20), CREAM)
    scene.ellipse((x, y + half * 0.015), (half * 0.90, half * 0.155), ESPRESSO)
    scene.ellipse((x - half * 0.22, y + half * 0.03), (half * 0.42, half * 0.075), (112, 70, 46))
    if portholes:
        for place in (-0.46, 0.0, 0.46):
            spot = (x + half * place, y + depth * 0.42)
            scene.disc(spot, width * 0.066, APRICOT)
            scene.disc(spot, width * 0.044, (23, 84, 94))


def _gull(scene: Scene, centre: Point, span: float, colour: Colour) -> None:
    x, y = centre
    for side in (-1, 1):
        wing = [
            (x + side * span * share, y - math.sin(share * math.pi * 0.86) * span * 0.42)
            for share in (step / 14 for step in range(15))
        ]
        scene.line(wing, colour, span * 0.11)


def cafe_strip() -> Scene:
    """Dawn on the river: a cup sails as a ferry, its steam for smoke."""
    scene = Scene(STRIP)
    horizon = 92
    scene.gradient(SKY, horizon)
    glow = Scene(STRIP, (*SUN, 0))
    glow.disc((252, horizon), 60, (*SUN, 135))
    scene.lay_over(glow, blur=14)
    scene.disc((252, horizon), 39, SUN)
    scene.box((0, horizon), (375, 144 - horizon), SEA[0])
    for offset, half in ((1.8, 37), (4.8, 26), (7.6, 31)):
        left = 248 - half + (offset % 3) * 3
        scene.box((left, horizon + offset), (2 * half, 1.5), (250, 198, 138, 210), 0.75)
    _swell(scene, 104, 2.0, 74, 0.10, SEA[1])
    steam = Scene(STRIP, (*CREAM, 0))
    for place, height, phase in ((-13, 50, 0.2), (0, 62, 2.4), (13, 48, 4.1)):
        _steam(steam, (290 + place, 63), height, 6.5, phase, 3.0, 190)
    scene.lay_over(steam, blur=0.55)
    _cup(scene, (290, 69), 74)
    _swell(scene, 109, 3.2, 96, 0.42, SEA[2])
    _swell(scene, 119, 3.4, 82, 0.86, SEA[3])
    _swell(scene, 131, 3.0, 108, 0.30, SEA[4])
    _gull(scene, (196, 32), 8.5, (*CREAM, 215))
    _gull(scene, (217, 43), 5.5, (*CREAM, 180))
    return scene


def cafe_icon() -> Scene:
    scene = Scene(ICON)
    scene.gradient(((13, 58, 69), (28, 98, 104)), 38)
    steam = Scene(ICON, (*CREAM, 0))
    for place, phase in ((-3.5, 0.4), (3.5, 2.9)):
        _steam(steam, (18 + place, 13.6), 11, 1.7, phase, 1.1, 255)
    scene.lay_over(steam, blur=0.12)
    _cup(scene, (18, 15.6), 21, portholes=False)
    _swell(scene, 27.5, 1.1, 19, 0.05, APRICOT)
    _swell(scene, 31.5, 1.1, 22, 0.55, (9, 45, 56))
    return scene


def cafe_logo() -> Scene:
    scene = Scene(LOGO)
    steam = Scene(LOGO, (*CREAM, 0))
    for place, phase in ((-4, 0.4), (4, 2.9)):
        _steam(steam, (18 + place, 16.5), 13, 2.0, phase, 1.2, 255)
    scene.lay_over(steam, blur=0.12)
    _cup(scene, (18, 19), 25, portholes=False)
    for level, colour in ((36.5, APRICOT), (41.5, (*CREAM, 235))):
        crest = [point for point in _wave(160, level, 1.3, 15, 0.1) if 2 <= point[0] <= 37]
        scene.line(crest, colour, 1.9)
    scene.text((46, 28.5), "Fährhaus", 23, CREAM, 0.2)
    scene.text((47, 42), "KAFFEE", 9.5, APRICOT, 4.9)
    return scene


def _book(scene: Scene, centre: float, top: float, size: Point, colour: Colour) -> None:
    """A book that lies on its side, its spine towards the viewer."""
    width, height = size
    left = centre - width / 2
    scene.box((left, top), (width, height), colour, height * 0.18)
    shade = _mix(colour, (0, 0, 0), 0.22)
    scene.box((left + width * 0.70, top), (width * 0.30, height), shade, height * 0.18)
    scene.box((left + width * 0.70, top), (width * 0.10, height), shade)
    band = _mix(colour, (255, 255, 255), 0.45)
    for place in (0.10, 0.17):
        scene.box((left + width * place, top), (width * 0.028, height), band)


def _lantern(scene: Scene, foot: Point, size: float) -> None:
    """The lamp room that stands on the stack; `foot` is the middle of its floor."""
    x, y = foot
    scene.box((x - size * 0.78, y - size * 0.16), (size * 1.56, size * 0.16), PAPER, size * 0.05)
    scene.box((x - size * 0.44, y - size * 0.90), (size * 0.88, size * 0.76), LAMP)
    for place in (-0.44, -0.06, 0.32):
        scene.box((x + size * place, y - size * 0.90), (size * 0.12, size * 0.76), (52, 34, 72))
    roof = [
        (x - size * 0.62, y - size * 0.88),
        (x, y - size * 1.52),
        (x + size * 0.62, y - size * 0.88),
    ]
    scene.polygon(roof, SPINES[0])
    scene.disc((x, y - size * 1.54), size * 0.10, PAPER)


def _tower(scene: Scene, centre: float, foot: float, widths: Sequence[float],
           height: float) -> float:  # fmt: skip
    """Stack books from `foot` upwards; returns the top."""
    top = foot
    lean = (0.0, 0.9, -0.7, 0.6, -0.9, 0.4, -0.4)
    for place, width in enumerate(widths):
        top -= height
        shift = lean[place % len(lean)] * width * 0.035
        colour = SPINES[place % len(SPINES)]
        _book(scene, centre + shift, top, (width, height - height * 0.06), colour)
    return top


def _beam(scene: Scene, lamp: Point, far: tuple[Point, Point], blur: float) -> None:
    """Light that fans out from the lamp to the far edge and fades on its way."""
    size = (scene.width, scene.height)
    layer = Scene(size, (*LAMP, 0))
    steps = 48
    for step in range(steps):
        near, reach = step / steps, (step + 1.15) / steps
        quad = [_between(lamp, far[0], near), _between(lamp, far[0], reach),
                _between(lamp, far[1], reach), _between(lamp, far[1], near)]  # fmt: skip
        layer.polygon(quad, (*LAMP, round(138 * (1 - near) ** 1.25)))
    scene.lay_over(layer, blur=blur)


def _between(first: Point, second: Point, share: float) -> Point:
    return (first[0] + (second[0] - first[0]) * share, first[1] + (second[1] - first[1]) * share)


def bookshop_strip() -> Scene:
    """Night on the coast: a lighthouse built of books."""
    scene = Scene(STRIP)
    scene.gradient(NIGHT, 118)
    stars = ((24, 18, 0.8), (52, 44, 0.6), (86, 14, 0.7), (118, 34, 0.9), (150, 12, 0.6),
             (176, 52, 0.7), (204, 20, 0.9), (236, 58, 0.6), (338, 24, 0.8), (356, 60, 0.6),
             (320, 50, 0.6), (12, 66, 0.6), (70, 74, 0.5), (262, 14, 0.6))  # fmt: skip
    for x, y, radius in stars:
        scene.disc((x, y), radius, (*PAPER, 210))
    lamp = (291, 31)
    _beam(scene, lamp, ((-10, 26), (-10, 92)), blur=1.2)
    _beam(scene, lamp, ((390, 16), (390, 52)), blur=1.2)
    glow = Scene(STRIP, (*LAMP, 0))
    glow.disc(lamp, 19, (*LAMP, 150))
    scene.lay_over(glow, blur=8)
    scene.box((0, 118), (375, 26), (44, 32, 74))
    for place, half in ((122, 30), (126, 22), (131, 26)):
        scene.box((291 - half, place), (2 * half, 1.3), (*LAMP, 120), 0.65)
    _swell(scene, 123, 1.8, 90, 0.2, (36, 26, 64))
    hill = [(222, 126), (238, 117), (262, 111), (292, 109), (320, 111), (346, 118), (366, 126)]
    scene.polygon([*hill, (366, 144), (222, 144)], ROCK[0])
    top = _tower(scene, 291, 112, (58, 52, 47, 42, 38, 34, 31), 9.9)
    _lantern(scene, (291, top), 12.5)
    _swell(scene, 128, 2.4, 84, 0.62, ROCK[1])
    _swell(scene, 136, 2.4, 104, 0.18, ROCK[2])
    return scene


def bookshop_icon() -> Scene:
    scene = Scene(ICON)
    scene.gradient(((34, 27, 68), (92, 54, 106)), 38)
    lamp = (19, 10.2)
    _beam(scene, lamp, ((-6, 4), (-6, 20)), blur=0.3)
    _beam(scene, lamp, ((44, 4), (44, 20)), blur=0.3)
    top = _tower(scene, 19, 33.5, (22, 19, 16.5, 14.5), 4.7)
    _lantern(scene, (19, top), 5.4)
    _swell(scene, 34, 0.8, 20, 0.3, ROCK[2])
    return scene


def bookshop_logo() -> Scene:
    scene = Scene(LOGO)
    top = _tower(scene, 17, 45, (27, 23, 20, 17.5), 5.9)
    _lantern(scene, (17, top), 7)
    scene.text((40, 28.5), "Lighthouse", 21.5, PAPER, 0.1)
    scene.text((41, 42), "BOOKS", 9.5, LAMP, 6.6)
    return scene


def main() -> None:
    for directory, icon, logo, strip in (
        (HERE / "images", cafe_icon, cafe_logo, cafe_strip),
        (HERE / "bookshop" / "images", bookshop_icon, bookshop_logo, bookshop_strip),
    ):
        directory.mkdir(parents=True, exist_ok=True)
        icon().save(directory, "icon", is_opaque=True)
        logo().save(directory, "logo", is_opaque=False)
        strip().save(directory, "strip", is_opaque=True)
        for path in sorted(directory.glob("*.png")):
            print(f"{path.relative_to(HERE)}  {path.stat().st_size:>7} bytes")


if __name__ == "__main__":
    main()
