"""The health check that shows what the upkeep could not do."""

from __future__ import annotations

from passferry_pass_issuer.application.do_duties import Failures
from passferry_runtime.lifecycle import Check, CheckResult

SHOWN = 5


def upkeep_check(failures: Failures) -> Check:
    async def probe() -> CheckResult:
        left = [(name, key) for name, keys in sorted(failures.left.items()) for key in keys]
        if not left:
            return CheckResult("ok")
        shown = [
            f"{name} of {subject_id} of workspace {workspace_id} fails"
            for name, (workspace_id, subject_id) in left[:SHOWN]
        ]
        if len(left) > SHOWN:
            shown.append(f"and {len(left) - SHOWN} more")
        return CheckResult("degraded", "; ".join(shown))

    return Check(name="upkeep", probe=probe, gates_readiness=False)
