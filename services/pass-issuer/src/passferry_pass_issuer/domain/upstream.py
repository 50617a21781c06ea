"""What an upstream may change of a pass whose balance it keeps. Versions compare per event type:
a change of fields does not make an older balance outdated that was never seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.issuing import check_field_values
from passferry_pass_issuer.domain.revision import used_once, used_up
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed


def with_upstream_balance(
    before: WalletPass, *, balance_minor: int, version: int
) -> WalletPass | None:
    """The pass with the new balance; None when that one or a newer one is shown already."""
    if version <= before.ledger_version or before.status is PassStatus.DELETED:
        return None
    return changed(before, balance_minor=balance_minor, ledger_version=version)


def with_upstream_redemption(
    before: WalletPass, *, version: int, exhausted: bool, at: datetime
) -> WalletPass | None:
    if version <= before.redeemed_version or before.status is PassStatus.DELETED:
        return None
    redeemed = used_once(before, version=version, at=at)
    return used_up(redeemed) if exhausted else redeemed


def with_upstream_fields(
    before: WalletPass,
    *,
    field_values: Mapping[str, object],
    expires_at: datetime | None,
    version: int,
) -> WalletPass | None:
    """Given values take the place of the old ones, null removes one; a pass that ended does not
    change. Raises `ContentRejected` for values that no template can show."""
    if version <= before.upstream_version or not before.is_usable:
        return None
    merged = {**before.field_values, **check_field_values(field_values)}
    kept = {name: value for name, value in merged.items() if value is not None}
    return changed(
        before,
        field_values=check_field_values(kept),
        expires_at=expires_at or before.expires_at,
        upstream_version=version,
    )


def voided_by_upstream(before: WalletPass, *, reason: str | None) -> WalletPass | None:
    """Final, so it needs no order."""
    if not before.is_usable:
        return None
    return changed(before, status=PassStatus.VOIDED, status_reason=reason or "requested")


def changed_fields(before: WalletPass, after: WalletPass) -> list[str]:
    """Names of the fields that differ, and `expires_at`."""
    names = before.field_values.keys() | after.field_values.keys()
    differ = [
        name for name in names if before.field_values.get(name) != after.field_values.get(name)
    ]
    return differ if after.expires_at == before.expires_at else [*differ, "expires_at"]
