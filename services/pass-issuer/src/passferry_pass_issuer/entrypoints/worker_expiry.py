"""Shows the days that certificates have left; the round itself is the application's."""

from __future__ import annotations

from collections.abc import Sequence

from passferry_pass_issuer.domain.credentials import SigningIdentityRecord
from passferry_pass_issuer.metrics import CERTIFICATE_DAYS_LEFT

#: Often enough for a threshold of a day; a round is a few queries.
INTERVAL_S = 600.0


def show_days_left(ending: Sequence[tuple[SigningIdentityRecord, float]]) -> None:
    """Only of those given: a renewed one goes with the next round, so that the labels are few."""
    CERTIFICATE_DAYS_LEFT.clear()
    for identity, days in ending:
        CERTIFICATE_DAYS_LEFT.labels(
            workspace_id=str(identity.workspace_id),
            signing_identity_id=str(identity.signing_identity_id),
        ).set(days)
