"""The use cases of holders and of a pass's later life, as the edges meet them."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_pass_issuer.application.keep_holders import EraseHolder, SaveHolder
from passferry_pass_issuer.application.keep_time import KeepTime
from passferry_pass_issuer.application.life_ports import HolderRecords


@dataclass(frozen=True, kw_only=True)
class PassLife:
    holders: HolderRecords
    save_holder: SaveHolder
    erase_holder: EraseHolder
    keep_time: KeepTime
