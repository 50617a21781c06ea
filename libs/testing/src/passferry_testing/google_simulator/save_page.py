"""What `pay.google.com/gp/v/save/{jwt}` does: checks the link, and stores what it carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from passferry_testing.google_simulator.accounts import Accounts, JwtRejected
from passferry_testing.google_simulator.catalogue import (
    PAYLOAD_TYPES,
    Catalogue,
    Held,
    ResourceType,
    own_issuer,
)
from passferry_testing.google_simulator.refusals import (
    AlreadyExists,
    ApiRefusal,
    ResourceNotFound,
    SaveLinkRefused,
    SchemaViolated,
)

#: Browsers cut addresses that are longer.
MAX_JWT_CHARACTERS = 1800

_CLOCK_SKEW_S = 300
_SKINNY_KEYS = frozenset({"id", "classId"})


class SavePage:
    """Verifies save links. `now` gives seconds since the epoch."""

    def __init__(self, accounts: Accounts, catalogue: Catalogue, now: Callable[[], float]) -> None:
        self._accounts = accounts
        self._catalogue = catalogue
        self._now = now

    def open(self, token: str, *, is_dry_run: bool = False) -> list[Held]:
        """Check the token and insert what is new; returns the objects a user would now save.

        Raises SaveLinkRefused with the reason that the page would show.
        """
        try:
            account, claims = self._accounts.verify(token)
        except JwtRejected as rejected:
            raise SaveLinkRefused(str(rejected)) from rejected
        self._check_claims(claims)
        payload = claims["payload"]
        try:
            for resource_type, body in _ordered(payload):
                self._check_or_insert(resource_type, body, account.issuer_id, payload, is_dry_run)
        except SchemaViolated:
            raise
        except ApiRefusal as refusal:
            raise SaveLinkRefused(f"{refusal.status} {refusal.message}") from refusal
        saved = (self._catalogue.object(body["id"]) for kind, body in _ordered(payload)
                 if kind.kind == "Object")  # fmt: skip
        return [held for held in saved if held is not None]

    def _check_claims(self, claims: dict[str, Any]) -> None:
        issued, origins = claims.get("iat"), claims.get("origins")
        checks = (
            (claims.get("aud") == "google", "aud must be google"),
            (claims.get("typ") == "savetowallet", "typ must be savetowallet"),
            (
                isinstance(issued, int) and issued <= self._now() + _CLOCK_SKEW_S,
                "iat must be a number of seconds that is not in the future",
            ),
            (
                isinstance(origins, list) and all(isinstance(one, str) for one in origins),
                "origins must be a list of domains",
            ),
            (isinstance(claims.get("payload"), dict), "payload must be an object"),
        )
        for is_good, reason in checks:
            if not is_good:
                raise SaveLinkRefused(reason)
        if not any(kind.kind == "Object" for kind, _ in _ordered(claims["payload"])):
            raise SaveLinkRefused("the payload has no object to save")

    def _check_or_insert(
        self, resource_type: ResourceType, body: dict[str, Any], issuer_id: str,
        payload: dict[str, Any], is_dry_run: bool,
    ) -> None:  # fmt: skip
        own_issuer(str(body.get("id", "")), issuer_id)
        is_generic_class = resource_type.payload_key == "genericClasses"  # whole with its id alone
        if _SKINNY_KEYS.issuperset(body) and not is_generic_class:
            self._catalogue.get(resource_type, body["id"], issuer_id=issuer_id)
            return
        self._catalogue.check(resource_type, body, complete=True)
        if is_dry_run:
            return
        try:
            self._catalogue.insert(resource_type, body, issuer_id=issuer_id)
        except AlreadyExists:
            return  # a link made again does not update what is saved
        except ResourceNotFound as missing:
            raise SaveLinkRefused(missing.message) from missing


def _ordered(payload: dict[str, Any]) -> list[tuple[ResourceType, dict[str, Any]]]:
    """What the payload holds, classes before the objects that need them."""
    found = []
    for key, items in payload.items():
        resource_type = PAYLOAD_TYPES.get(key)
        if resource_type is None:
            raise SaveLinkRefused(f"unknown payload key {key}")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise SaveLinkRefused(f"{key} must be a list of objects")
        found += [(resource_type, item) for item in items]
    return sorted(found, key=lambda pair: pair[0].kind == "Object")
