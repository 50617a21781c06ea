"""The health check that shows a reissue for which the ledger's answer does not come."""

from __future__ import annotations

from passferry_pass_issuer.application.reissue_passes import ANSWERED_WITHIN
from passferry_pass_issuer.application.watch_reissues import WatchReissues
from passferry_runtime.clock import Clock
from passferry_runtime.lifecycle import Check, CheckResult


def reissues_check(watch: WatchReissues, clock: Clock) -> Check:
    async def probe() -> CheckResult:
        oldest = watch.oldest
        if oldest is None or clock.now() - oldest.since <= ANSWERED_WITHIN:
            return CheckResult("ok")
        return CheckResult(
            "degraded",
            f"the reissue of {oldest.pass_id} of workspace {oldest.workspace_id} waits for the"
            f" ledger since {oldest.since.isoformat(timespec='seconds')}; reissue it once more",
        )

    return Check(name="reissues", probe=probe, gates_readiness=False)
