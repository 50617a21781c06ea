"""pass.json as typed models: reads what others wrote, and checks what we write."""

from __future__ import annotations

from passferry_wallet.apple.document.places import Place, document_place, semantics_place
from passferry_wallet.apple.document.reading import pass_json_bytes, read_pass_json
from passferry_wallet.apple.document.rules import SchemeGap, check_whole, scheme_gaps
from passferry_wallet.apple.document.whole import ApplePass

__all__ = [
    "ApplePass",
    "Place",
    "SchemeGap",
    "check_whole",
    "document_place",
    "pass_json_bytes",
    "read_pass_json",
    "scheme_gaps",
    "semantics_place",
]
