"""Which openings of links are told: anyone may open a link as often as he likes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

MAX_REMEMBERED = 10_000


@dataclass(slots=True)
class OpeningsTold:
    """One opening per visitor class is told in `quiet_s`, and one that asks for a rendering in
    `rendering_s`, because that news may have to be repeated. `now_s` only goes forward."""

    quiet_s: float = 60.0
    rendering_s: float = 5.0
    _told: OrderedDict[Hashable, float] = field(default_factory=OrderedDict)

    def take(self, visitor: Hashable, now_s: float, *, needs_rendering: bool) -> bool:
        """Whether to tell this one."""
        key = (visitor, needs_rendering)
        last_s = self._told.get(key)
        rest_s = self.rendering_s if needs_rendering else self.quiet_s
        if last_s is not None and now_s - last_s < rest_s:
            return False
        self._told[key] = now_s
        self._told.move_to_end(key)
        if len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        return True
