"""Words and values that bodies of Google Wallet are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Vertical = Literal["loyalty", "giftCard", "offer", "eventTicket", "flight", "transit", "generic"]


class GoogleContentRejected(Exception):
    """The content breaks a rule of the API; `code` is stable, `field` a dotted path."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail} ({code})")
        self.code = code
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Amount:
    """`amount_minor` / 10**`scale`. With `currency_code` (ISO 4217) it is money."""

    amount_minor: int
    scale: int = 0
    currency_code: str | None = None


#: What a changing member of a body can be; a datetime has its zone.
Value = str | int | bool | Amount | datetime
