"""The sinks that speak Segment's batch format, as data."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: What fits every profile.
MAX_BATCH_ITEMS = 100
MAX_BODY_BYTES = 475_000
MAX_ITEM_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    name: str
    #: After the base URL.
    path: str
    #: Where the sink is when nothing else is given.
    default_base_url: str | None = None
    #: The credential is "user:password"; otherwise it is the user, and the password is empty.
    has_password: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def authorization(self, credential: str) -> str:
        pair = credential if self.has_password else f"{credential}:"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def accepts(self, credential: str) -> bool:
        """Whether a credential has this profile's form."""
        user, colon, password = credential.partition(":")
        is_plain = credential.isascii() and credential.isprintable() and " " not in credential
        is_whole = bool(user and colon and password) if self.has_password else not colon
        return is_plain and bool(user) and is_whole


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name="dittofeed", path="/api/public/apps/batch", has_password=True),
        Profile(name="segment", path="/v1/batch", default_base_url="https://api.segment.io"),
        Profile(name="rudderstack", path="/v1/batch"),
        Profile(
            name="customer.io",
            path="/v1/batch",
            default_base_url="https://cdp.customer.io",
            # Without it, bad items and a bad key are answered with 200.
            headers=MappingProxyType({"X-Strict-Mode": "1"}),
        ),
    )
}
