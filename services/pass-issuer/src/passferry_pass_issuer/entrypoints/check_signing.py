"""The health check that shows signing processes that do not start."""

from __future__ import annotations

from collections.abc import Callable

from passferry_runtime.lifecycle import Check, CheckResult


def signing_check(faults: Callable[[], int]) -> Check:
    """Does not gate readiness: passes that are on no Apple device need no signature."""

    async def probe() -> CheckResult:
        number = faults()
        if not number:
            return CheckResult("ok")
        return CheckResult("degraded", f"{number} signing processes do not start: see the log")

    return Check(name="signing", probe=probe, gates_readiness=False)
