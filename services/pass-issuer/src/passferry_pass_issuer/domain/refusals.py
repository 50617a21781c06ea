"""Why something given to us is not taken."""

from __future__ import annotations


class ContentRejected(Exception):
    """What was given cannot be used; `field` is the path of the fault, such as `apple.style`."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.code = code
        self.field = field
        self.detail = detail


class Unreadable(ContentRejected):
    """Its ciphertext does not open: it cannot be shown, and nobody sent anything wrong."""

    def __init__(self) -> None:
        super().__init__(
            "unreadable", "pass", "holds a ciphertext that this key ring does not open"
        )
