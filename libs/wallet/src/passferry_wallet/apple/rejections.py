"""What is wrong with a pass, in words for the person who has to mend it."""

from __future__ import annotations


class PassContentRejected(Exception):
    """The content of a pass breaks a rule of the format.

    `code` is stable (such as `too_many`), `field` is a dotted path into the pass or the name of a
    file, `detail` is a sentence. None of them holds a secret.
    """

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail} ({code})")
        self.code = code
        self.field = field
        self.detail = detail
