"""Degraded is visible: credentials that are missing, refused or unreadable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.application.bring_classes import NO_ACCOUNT, SUSPENDED, WaitingGroup
from passferry_notifier.application.dispatch import Dispatcher
from passferry_notifier.metrics import (
    CREDENTIALS_MISSING,
    CREDENTIALS_PAUSED,
    DELIVERIES_HELD,
    GOOGLE_CLASSES_WAITING,
)
from passferry_runtime.lifecycle import Check, CheckResult

MAX_NAMED = 5
#: Their classes wait, and nothing is wrong.
_NO_FAULTS = frozenset({SUSPENDED.reason, NO_ACCOUNT.reason})


def channel_check(
    channel: Channel,
    dispatchers: Sequence[Dispatcher[Any]],
    missing: Collection[tuple[UUID, str]],
) -> Check:
    """Never gates readiness: one workspace's fault is no reason to stop serving others."""

    async def probe() -> CheckResult:
        paused = {name: reason for each in dispatchers for name, reason in each.paused.items()}
        CREDENTIALS_PAUSED.labels(channel=channel.value).set(len(paused))
        CREDENTIALS_MISSING.labels(channel=channel.value).set(len(missing))
        DELIVERIES_HELD.labels(channel=channel.value).set(
            sum(len(each.held()) for each in dispatchers)
        )
        faults = [f"missing {name} in {workspace}" for workspace, name in sorted(missing, key=str)]
        faults += [f"refused: {reason}" for reason in paused.values()]
        return _result(faults)

    return Check(name=channel.value, probe=probe, gates_readiness=False)


def classes_check(waiting: Callable[[], Sequence[WaitingGroup]]) -> Check:
    async def probe() -> CheckResult:
        groups = [each for each in waiting() if each.reason not in _NO_FAULTS]
        GOOGLE_CLASSES_WAITING.set(sum(each.count for each in groups))
        named = sorted(groups, key=lambda each: (str(each.workspace_id), each.issuer_id))
        return _result(
            [f"{each.reason} of {each.issuer_id} in {each.workspace_id}" for each in named]
        )

    return Check(name="google_classes", probe=probe, gates_readiness=False)


def credentials_check(unreadable: Mapping[UUID, str]) -> Check:
    async def probe() -> CheckResult:
        return _result([f"{code} in {workspace}" for workspace, code in unreadable.items()])

    return Check(name="credentials", probe=probe, gates_readiness=False)


def _result(faults: list[str]) -> CheckResult:
    if not faults:
        return CheckResult("ok")
    more = f" and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
    return CheckResult("degraded", "; ".join(faults[:MAX_NAMED]) + more)
