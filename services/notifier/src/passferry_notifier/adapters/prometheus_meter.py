"""Counts for Prometheus."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.application.ports import Completion
from passferry_notifier.domain.deliveries import Action
from passferry_notifier.metrics import (
    APNS_TOKENS_RETIRED,
    CLOCK_SKEW,
    DELIVERIES,
    DELIVERIES_COALESCED,
    DELIVERY_DURATION,
    DEVICE_CACHE_REQUESTS,
    DEVICE_REGISTRATIONS,
    EVENT_TO_PUSH,
    NOTIFICATIONS_SENT,
)
from passferry_runtime.metrics import WorkspaceLabel

#: Others are counted together: an event names its cause freely.
KNOWN_CAUSES = frozenset(
    {
        "pass.created",
        "pass.updated",
        "pass.voided",
        "pass.expired",
        "pass.deleted",
        "pass.birthday",
        "pass.balance_changed",
        "pass.redeemed",
        "points.expiring",
        "message.requested",
        "message.issued",
        "template.published",
        "program.changed",
        "device.registered",
    }
)


class PrometheusMeter:
    """`workspace_limit`: how many workspaces are shown by name."""

    def __init__(self, workspace_limit: int) -> None:
        labelled = (NOTIFICATIONS_SENT, DELIVERY_DURATION, DEVICE_REGISTRATIONS)
        self._label = WorkspaceLabel(workspace_limit, metrics=labelled)

    def completed(self, completion: Completion, now: datetime) -> None:
        delivery = completion.delivery
        channel = delivery.channel.value
        action = completion.verdict.action
        DELIVERIES.labels(channel=channel, outcome=action.name.lower()).inc()
        if action is Action.TOKEN_GONE:
            APNS_TOKENS_RETIRED.inc()
        if completion.state != "delivered":
            return
        workspace = self._label(delivery.workspace_id)
        NOTIFICATIONS_SENT.labels(
            workspace_id=workspace, channel=channel, notification_type=delivery.notification_type
        ).inc()
        duration_s = (now - delivery.created_at).total_seconds()
        DELIVERY_DURATION.labels(workspace_id=workspace, channel=channel).observe(
            max(0.0, duration_s)
        )
        cause = delivery.cause_type if delivery.cause_type in KNOWN_CAUSES else "other"
        event_to_push_s = (now - delivery.caused_at).total_seconds()
        if event_to_push_s < 0:
            CLOCK_SKEW.inc()
        EVENT_TO_PUSH.labels(channel=channel, event_type=cause).observe(max(0.0, event_to_push_s))

    def coalesced(self, channel: Channel, count: int) -> None:
        DELIVERIES_COALESCED.labels(channel=channel.value).inc(count)

    def token_lookup(self, result: str, count: int) -> None:
        DEVICE_CACHE_REQUESTS.labels(result=result).inc(count)

    def registered(self, workspace_id: UUID, device_type: str) -> None:
        DEVICE_REGISTRATIONS.labels(
            workspace_id=self._label(workspace_id), device_type=device_type
        ).inc()
