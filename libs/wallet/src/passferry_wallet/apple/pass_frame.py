"""pass.json of which all but what each pass has of its own is checked and encoded once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from passferry_wallet.apple.json_frame import JsonFrame, hole
from passferry_wallet.apple.pass_content import FieldGroup, PassContent, WrittenFields
from passferry_wallet.apple.pass_json import json_of, pass_members, within_limit


class PassFrame:
    """The passes of a template that have the same members.

    Of `content` all is taken but its fields and the members that `own` names, which are told of
    each pass. Its bytes are those of `build_pass_json`, because that is what wrote the frame.
    """

    def __init__(
        self,
        content: PassContent,
        *,
        constant: Mapping[str, Any],
        own: Iterable[str],
        groups: Iterable[FieldGroup],
    ) -> None:
        """Raises PassContentRejected."""
        holes = map(hole, itertools.count())
        members = dict(zip(own, holes, strict=False))
        fields = {group: WrittenFields(next(holes)) for group in groups}
        framed = replace(content, fields=fields)
        self._frame = JsonFrame(json_of(pass_members(framed, constant=constant, own=members)))

    def pass_json(self, values: Iterable[bytes]) -> bytes:
        """`values` are JSON, checked: of the members and then, comma between fields, of the
        groups, in the order in which the frame was told of them."""
        return within_limit(self._frame.filled(*values))
