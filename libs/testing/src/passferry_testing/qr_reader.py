"""Reads QR codes of versions 1 to 10 that are whole: no camera, so no error correction.

It shares no code with what draws them; the tables are those of ISO/IEC 18004.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from itertools import zip_longest

from PIL import Image

Matrix = list[list[bool]]

_LEVELS = {0b01: "l", 0b00: "m", 0b11: "q", 0b10: "h"}
#: Data bytes of each block, by version and level.
_BLOCKS: dict[int, dict[str, list[int]]] = {
    1: {"l": [19], "m": [16], "q": [13], "h": [9]},
    2: {"l": [34], "m": [28], "q": [22], "h": [16]},
    3: {"l": [55], "m": [44], "q": [17] * 2, "h": [13] * 2},
    4: {"l": [80], "m": [32] * 2, "q": [24] * 2, "h": [9] * 4},
    5: {"l": [108], "m": [43] * 2, "q": [15, 15, 16, 16], "h": [11, 11, 12, 12]},
    6: {"l": [68] * 2, "m": [27] * 4, "q": [19] * 4, "h": [15] * 4},
    7: {"l": [78] * 2, "m": [31] * 4, "q": [14] * 2 + [15] * 4, "h": [13] * 4 + [14]},
    8: {
        "l": [97] * 2,
        "m": [38] * 2 + [39] * 2,
        "q": [18] * 4 + [19] * 2,
        "h": [14] * 4 + [15] * 2,
    },
    9: {
        "l": [116] * 2,
        "m": [36] * 3 + [37] * 2,
        "q": [16] * 4 + [17] * 4,
        "h": [12] * 4 + [13] * 4,
    },
    10: {
        "l": [68] * 2 + [69] * 2,
        "m": [43] * 4 + [44],
        "q": [19] * 6 + [20] * 2,
        "h": [15] * 6 + [16] * 2,
    },
}
_ALIGNMENT = {1: [], 7: [6, 22, 38], 8: [6, 24, 42], 9: [6, 26, 46], 10: [6, 28, 50]} | {
    version: [6, 10 + 4 * version] for version in range(2, 7)
}
_MASKS: list[Callable[[int, int], bool]] = [
    lambda i, j: (i + j) % 2 == 0,
    lambda i, j: i % 2 == 0,
    lambda i, j: j % 3 == 0,
    lambda i, j: (i + j) % 3 == 0,
    lambda i, j: (i // 2 + j // 3) % 2 == 0,
    lambda i, j: i * j % 2 + i * j % 3 == 0,
    lambda i, j: (i * j % 2 + i * j % 3) % 2 == 0,
    lambda i, j: ((i + j) % 2 + i * j % 3) % 2 == 0,
]
_FORMAT_MASK = 0b101010000010010
_BYTE_MODE = 0b0100


class QrUnreadable(Exception):
    """The picture is no QR code that this reader knows."""


def read_png(data: bytes) -> tuple[str, str]:
    """(text, level of error correction) of a code that fills the picture but for its margin."""
    with Image.open(io.BytesIO(data)) as image:
        grey = image.convert("L")
        width, height = grey.size
        dark = [[grey.getpixel((x, y)) == 0 for x in range(width)] for y in range(height)]
    return read_matrix(_modules(dark))


def read_svg(data: bytes) -> tuple[str, str]:
    """The same for an SVG that draws rows of modules as one path."""
    # The background is a path of its own, without moves.
    paths = [path for path in re.findall(r'\bd="(M[^"]+)"', data.decode()) if "m" in path]
    if not paths:
        raise QrUnreadable("there is no path of modules")
    cells = set(_cells(paths[0]))
    left, top = min(x for x, _ in cells), min(y for _, y in cells)
    size = max(x for x, _ in cells) - left + 1
    return read_matrix([[(x + left, y + top) in cells for x in range(size)] for y in range(size)])


def _cells(path: str) -> Iterator[tuple[int, int]]:
    x = y = 0.0
    for command, rest in re.findall(r"([Mmh])([-\d. ]+)", path):
        numbers = [float(each) for each in re.findall(r"-?[\d.]+", rest)]
        if command == "M":
            x, y = numbers
        elif command == "m":
            x, y = x + numbers[0], y + numbers[1]
        else:
            yield from ((int(x) + step, int(y)) for step in range(int(numbers[0])))
            x += numbers[0]


def _modules(dark: Matrix) -> Matrix:
    rows = [index for index, row in enumerate(dark) if any(row)]
    columns = [index for index in range(len(dark[0])) if any(row[index] for row in dark)]
    if not rows:
        raise QrUnreadable("the picture is empty")
    top, left, extent = rows[0], columns[0], rows[-1] - rows[0] + 1
    run = 0
    while dark[top][left + run]:
        run += 1
    # The first row of a finder pattern is seven modules wide.
    step, rest = divmod(run, 7)
    if rest or step == 0 or extent % step:
        raise QrUnreadable("the modules are not of one size")
    size = extent // step
    return [[dark[top + y * step][left + x * step] for x in range(size)] for y in range(size)]


def read_matrix(modules: Matrix) -> tuple[str, str]:
    size = len(modules)
    version, rest = divmod(size - 17, 4)
    if rest or version not in _BLOCKS:
        raise QrUnreadable(f"{size} modules are no version that is known here")
    level, mask = _format(modules)
    is_function = _function_map(version, size)
    bits = "".join(
        "01"[modules[i][j] ^ _MASKS[mask](i, j)] for i, j in _path(size) if not is_function[i][j]
    )
    words = [int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8)]
    return _text(_deinterleaved(words, _BLOCKS[version][level]), version), level


def _format(modules: Matrix) -> tuple[str, int]:
    places = [(8, j) for j in (0, 1, 2, 3, 4, 5, 7, 8)] + [(i, 8) for i in (7, 5, 4, 3, 2, 1, 0)]
    raw = int("".join("01"[modules[i][j]] for i, j in places), 2) ^ _FORMAT_MASK
    return _LEVELS[raw >> 13], raw >> 10 & 0b111


def _function_map(version: int, size: int) -> Matrix:
    taken = [[False] * size for _ in range(size)]

    def take(top: int, left: int, height: int, width: int) -> None:
        for i in range(top, top + height):
            for j in range(left, left + width):
                taken[i][j] = True

    take(0, 0, 9, 9)
    take(0, size - 8, 9, 8)
    take(size - 8, 0, 8, 9)
    take(6, 0, 1, size)
    take(0, 6, size, 1)
    corners = {(6, 6), (6, size - 7), (size - 7, 6)}
    for i in _ALIGNMENT[version]:
        for j in _ALIGNMENT[version]:
            if (i, j) not in corners:
                take(i - 2, j - 2, 5, 5)
    if version >= 7:
        take(0, size - 11, 6, 3)
        take(size - 11, 0, 3, 6)
    return taken


def _path(size: int) -> Iterator[tuple[int, int]]:
    is_upward = True
    column = size - 1
    while column > 0:
        if column == 6:
            column -= 1
        for step in range(size):
            row = size - 1 - step if is_upward else step
            yield row, column
            yield row, column - 1
        is_upward = not is_upward
        column -= 2


def _deinterleaved(words: list[int], sizes: list[int]) -> bytes:
    blocks: list[list[int]] = [[] for _ in sizes]
    at = iter(words)
    for row in range(max(sizes)):
        for block, size in zip_longest(blocks, sizes):
            if row < size:
                block.append(next(at))
    return bytes(word for block in blocks for word in block)


def _text(data: bytes, version: int) -> str:
    bits = "".join(f"{word:08b}" for word in data)
    if int(bits[:4], 2) != _BYTE_MODE:
        raise QrUnreadable("the text is not written as bytes")
    width = 8 if version <= 9 else 16
    count = int(bits[4 : 4 + width], 2)
    start = 4 + width
    return bytes(int(bits[start + 8 * at : start + 8 * at + 8], 2) for at in range(count)).decode()
