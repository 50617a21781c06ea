"""The health check that shows missing and expiring credentials as degraded."""

from __future__ import annotations

import time
from datetime import timedelta

from passferry_pass_issuer.application.watch_credentials import CredentialReport, WatchCredentials
from passferry_pass_issuer.metrics import CREDENTIAL_FINDINGS, SIGNING_IDENTITY_DAYS_LEFT
from passferry_runtime.clock import Clock
from passferry_runtime.lifecycle import Check, CheckResult

KEPT_S = 10.0
SHOWN_FINDINGS = 5


class CredentialCheck:
    def __init__(self, watch: WatchCredentials, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock
        self._result: CheckResult | None = None
        self._looked_at = 0.0
        self.check = Check(name="credentials", probe=self.probe, gates_readiness=False)

    async def probe(self) -> CheckResult:
        if self._result is None or time.monotonic() - self._looked_at > KEPT_S:
            now = self._clock.now()
            report = await self._watch.of_all(now)
            if report.next_expiry is not None:
                left = (report.next_expiry - now) // timedelta(days=1)
                SIGNING_IDENTITY_DAYS_LEFT.set(left)
            CREDENTIAL_FINDINGS.set(len(report.findings))
            self._result = _result(report)
            self._looked_at = time.monotonic()
        return self._result


def _result(report: CredentialReport) -> CheckResult:
    if not report.findings:
        return CheckResult("ok")
    shown = [
        f"{finding.code} {finding.subject} of workspace {finding.workspace_id}"
        for finding in report.findings[:SHOWN_FINDINGS]
    ]
    more = len(report.findings) - len(shown)
    if more:
        shown.append(f"and {more} more")
    is_degraded = any(finding.is_degraded for finding in report.findings)
    return CheckResult("degraded" if is_degraded else "ok", "; ".join(shown))
