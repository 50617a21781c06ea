"""What is wrong with content that people gave us."""

from __future__ import annotations


class PassContentRejected(Exception):
    """`field` names what to mend; `detail` says how, in a sentence."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.code = code
        self.field = field
        self.detail = detail
