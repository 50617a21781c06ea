"""What events do to a pass. Versions compare per event type; what ended never comes back."""

from __future__ import annotations

from datetime import datetime

from passferry_contracts.types import BalanceOwner, PassStatus
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed

EXHAUSTED = "exhausted"


def with_balance(
    wallet_pass: WalletPass,
    *,
    balance_minor: int,
    version: int,
    exhausted: bool,
    tier: str | None = None,
) -> WalletPass | None:
    """The pass after the ledger's change; None when it is older than what is shown."""
    if not _hears_the_ledger(wallet_pass) or version <= wallet_pass.ledger_version:
        return None
    told = changed(wallet_pass, balance_minor=balance_minor, ledger_version=version, tier=tier)
    return used_up(told) if exhausted else told


def with_redemption(
    wallet_pass: WalletPass, *, version: int, exhausted: bool, at: datetime
) -> WalletPass | None:
    if not _hears_the_ledger(wallet_pass) or version <= wallet_pass.redeemed_version:
        return None
    told = used_once(wallet_pass, version=version, at=at)
    return used_up(told) if exhausted else told


def used_once(wallet_pass: WalletPass, *, version: int, at: datetime) -> WalletPass:
    last = at if wallet_pass.last_used_at is None else max(at, wallet_pass.last_used_at)
    return changed(
        wallet_pass, redeemed_version=version, uses=wallet_pass.uses + 1, last_used_at=last
    )


def _hears_the_ledger(wallet_pass: WalletPass) -> bool:
    # A deleted pass is not drawn again: what is told of it may be gone already.
    is_ours = wallet_pass.balance_owner is BalanceOwner.PASSFERRY
    return is_ours and wallet_pass.status is not PassStatus.DELETED


def used_up(wallet_pass: WalletPass) -> WalletPass:
    """Voided once; a pass that ended before stays as it ended."""
    if wallet_pass.status is not PassStatus.ACTIVE:
        return wallet_pass
    return changed(wallet_pass, status=PassStatus.VOIDED, status_reason=EXHAUSTED)
