"""Writes what became of deliveries, many at a time."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from passferry_notifier.application.ports import Completion, DeliveryQueue, Meter, PushTokenCache
from passferry_notifier.domain.deliveries import Action, Delivery, Verdict
from passferry_notifier.domain.retry_policy import RetryPolicy
from passferry_notifier.domain.token_breaker import TokenBreaker
from passferry_runtime.clock import Clock
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

MAX_BATCH = 1_000
PAUSE_AFTER_FAILURE_S = 1.0

_FINAL = {
    Action.DELIVERED: "delivered",
    Action.DELIVERED_SILENT: "delivered",
    Action.DROPPED: "dropped",
    Action.TOKEN_GONE: "dropped",
    Action.TOKEN_SUSPECT: "dropped",
    Action.FAILED: "failed",
}


@dataclass(kw_only=True)
class Recorder:
    """`add` never waits; `run` stores until stopped and empty."""

    store: DeliveryQueue
    cache: PushTokenCache
    meter: Meter
    clock: Clock
    policy: RetryPolicy
    breaker: TokenBreaker = field(default_factory=TokenBreaker)
    _waiting: deque[Completion] = field(default_factory=deque)
    _storing: Sequence[Completion] = ()
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    def unstored(self) -> list[Delivery]:
        """Those whose outcome the store does not know yet."""
        return [each.delivery for each in (*self._storing, *self._waiting)]

    def add(self, deliveries: Sequence[Delivery], verdict: Verdict) -> None:
        for delivery in deliveries:
            self._waiting.append(self._completion(delivery, verdict))
        self._arrived.set()

    def stop(self) -> None:
        """Return from `run` once everything is stored."""
        self._stopping = True
        self._arrived.set()

    async def run(self) -> None:
        while self._waiting or not self._stopping:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            self._storing = batch
            await self._store(batch)
            self._storing = ()

    async def _store(self, batch: list[Completion]) -> None:
        now = self.clock.now()
        try:
            lost_devices = await self.store.complete(batch, now=now)
        except Exception:
            log.exception("outcomes_not_stored", count=len(batch))
            self._waiting.extendleft(reversed(batch))
            await asyncio.sleep(PAUSE_AFTER_FAILURE_S)
            return
        for completion in batch:
            self.meter.completed(completion, now)
        if lost_devices:
            await self.cache.invalidate(lost_devices)

    def _completion(self, delivery: Delivery, verdict: Verdict) -> Completion:
        now = self.clock.now()
        is_strike = False
        if verdict.action in (Action.DELIVERED, Action.TOKEN_SUSPECT):
            is_bad = verdict.action is Action.TOKEN_SUSPECT
            self.breaker.observe(delivery.workspace_id, is_bad=is_bad)
            is_strike = is_bad and self.breaker.may_strike(delivery.workspace_id)
        is_attempt = verdict.action is not Action.POSTPONED
        attempts = delivery.attempts + is_attempt
        state = _FINAL.get(verdict.action, "pending")
        next_attempt_at = now
        if state == "pending" and is_attempt:
            if self.policy.is_exhausted(attempts, delivery.created_at, now):
                state = "failed"
            delay_s = self.policy.delay_s(attempts, random.random(), verdict.retry_after_s)
            next_attempt_at = now + timedelta(seconds=delay_s)
        elif state == "pending":
            next_attempt_at = now + timedelta(seconds=verdict.retry_after_s or 0.0)
        return Completion(
            delivery=delivery,
            state=state,
            verdict=verdict,
            attempts=attempts,
            next_attempt_at=next_attempt_at,
            is_strike=is_strike,
        )
