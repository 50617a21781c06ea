"""How a QR code is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIN_SIZE_PX = 64
MAX_SIZE_PX = 2_048
DEFAULT_SIZE_PX = 320
MAX_MARGIN_MODULES = 16
#: What scanners are promised.
QUIET_ZONE_MODULES = 4


class ErrorCorrection(StrEnum):
    """How much of the code may be unreadable: 7, 15, 25 or 30 of a hundred."""

    LOW = "l"
    MEDIUM = "m"
    QUARTILE = "q"
    HIGH = "h"


@dataclass(frozen=True, slots=True, kw_only=True)
class QrRequest:
    """`size_px` is the width of an SVG; a PNG is as large as whole modules allow below it."""

    size_px: int = DEFAULT_SIZE_PX
    margin_modules: int = QUIET_ZONE_MODULES
    error_correction: ErrorCorrection = ErrorCorrection.MEDIUM
