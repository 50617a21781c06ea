"""pass.json of which all but what each pass has of its own is checked and encoded once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from passferry_wallet.apple.json_frame import JsonFrame, hole
from passferry_wallet.apple.pass_content import FieldGroup, PassContent, WrittenFields
from passferry_wallet.apple.pass_json import json_of, pass_members, within_limit


class PassFrame:
    """The passes of a template that have the same members.

    Of `content` all is taken but its fields, the members that `own` names, and those of its
    document that `document` names, which are told of each pass. The latter are not objects that
    the pass has as well: these would be merged. Its bytes are those of `build_pass_json`, because
    that is what wrote the frame.
    """

    def __init__(
        self,
        content: PassContent,
        *,
        constant: Mapping[str, Any],
        own: Collection[str],
        groups: Collection[FieldGroup],
        document: Collection[str] = (),
    ) -> None:
        """Raises PassContentRejected."""
        count = len(own) + len(groups) + len(document)
        holes = map(hole, range(count))
        members = {name: next(holes) for name in own}
        framed = replace(
            content,
            fields={group: WrittenFields(next(holes)) for group in groups},
            document={**content.document, **{name: next(holes) for name in document}},
        )
        written = json_of(pass_members(framed, constant=constant, own=members))
        self._frame = JsonFrame(written, count=count)

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory."""
        return self._frame.size

    def pass_json(self, values: Iterable[bytes]) -> bytes:
        """`values` are JSON, checked: of own members, of groups with a comma between fields, and
        of the document, each in the order in which the frame was told of them."""
        return within_limit(self._frame.filled(*values))
