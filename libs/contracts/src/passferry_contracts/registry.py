"""Every topic with its key, partitions, retention and the events it carries."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_contracts.event import Event
from passferry_contracts.events import (
    balances,
    deliveries,
    directory,
    inbound,
    ledger,
    passes,
    rendered,
    wallet,
)

#: Equal on all topics about passes, fixed from day one: growing it would move keys.
PASS_PARTITIONS = 12
#: For topics about few, rarely changing subjects.
DIRECTORY_PARTITIONS = 3

SEVEN_DAYS_MS = 7 * 24 * 60 * 60 * 1000

Payload = Event | inbound.InboundEvent


@dataclass(frozen=True, slots=True)
class Topic:
    """`key` says what orders the topic; topics of one key keep order with one another."""

    name: str
    key: str
    partitions: int
    compacted: bool
    events: tuple[type[Payload], ...]
    retention_ms: int = SEVEN_DAYS_MS
    max_record_bytes: int = 262_144

    def configuration(self) -> dict[str, str]:
        """The broker's topic settings."""
        # Uncompressed, so that the broker measures a record as consumers will meet it.
        settings = {
            "max.message.bytes": str(self.max_record_bytes),
            "compression.type": "uncompressed",
        }
        if self.compacted:
            settings["cleanup.policy"] = "compact"
            settings["delete.retention.ms"] = str(24 * 60 * 60 * 1000)
        else:
            settings["cleanup.policy"] = "delete"
            settings["retention.ms"] = str(self.retention_ms)
        return settings

    def model_of(self, event_type: str) -> type[Payload] | None:
        return next((model for model in self.events if model.event_type == event_type), None)


def _about_passes(name: str, *events: type[Payload], compacted: bool = False) -> Topic:
    size = 900_000 if compacted else 262_144
    return Topic(name, "pass_id", PASS_PARTITIONS, compacted, events, max_record_bytes=size)


def _directory(name: str, key: str, *events: type[Payload], size: int = 900_000) -> Topic:
    return Topic(name, key, DIRECTORY_PARTITIONS, True, events, max_record_bytes=size)


def _dead_letters(service: str) -> Topic:
    # A dead letter keeps whatever it was and gains headers that say where it came from, so it may
    # be somewhat larger than the largest record.
    return Topic(
        f"{service}-dlt", "origin", DIRECTORY_PARTITIONS, False, (), max_record_bytes=1_060_000
    )


PASS_INBOUND = Topic(
    "pass.inbound",
    "external_id",
    PASS_PARTITIONS,
    False,
    (
        inbound.InboundPassCreated,
        inbound.InboundPassUpdated,
        inbound.InboundPassVoided,
        inbound.InboundBalanceChanged,
        inbound.InboundRedeemed,
    ),
)
PASS_CREATED = _about_passes("pass.created", passes.PassCreated)
PASS_UPDATED = _about_passes(
    "pass.updated",
    passes.PassUpdated,
    passes.PassVoided,
    passes.PassExpired,
    passes.PassDeleted,
    passes.PassErased,
    passes.PassBirthday,
)
PASS_BALANCE_CHANGED = _about_passes(
    "pass.balance_changed", balances.PassBalanceChanged, balances.PointsExpiring
)
PASS_REDEEMED = _about_passes("pass.redeemed", balances.PassRedeemed)
PASS_RENDERED = _about_passes("pass.rendered", rendered.PassRendered, compacted=True)
WALLET_ACTIVITY = _about_passes(
    "wallet.activity",
    wallet.PassPublished,
    wallet.DeviceRegistered,
    wallet.DeviceUnregistered,
    wallet.PassLinkOpened,
    wallet.PassDownloaded,
    wallet.PassInstalled,
    wallet.PassUninstalled,
    wallet.PassViewed,
)
LINK_CHANGED = Topic("link.changed", "link_id", PASS_PARTITIONS, True, (directory.LinkChanged,))
MESSAGE_REQUESTED = _about_passes("message.requested", deliveries.MessageRequested)
MESSAGE_ISSUED = _about_passes("message.issued", deliveries.MessageIssued)
DELIVERY_COMPLETED = _about_passes("delivery.completed", deliveries.DeliveryCompleted)
LEDGER_COMMANDS = _about_passes(
    "ledger.commands",
    ledger.LoadCommand,
    ledger.EarnCommand,
    ledger.PurchaseCommand,
    ledger.RedeemCommand,
    ledger.RedeemEverythingCommand,
    ledger.AdjustCommand,
    ledger.TransferCommand,
    ledger.HoldCommand,
    ledger.CaptureCommand,
    ledger.ReleaseCommand,
    ledger.ReverseCommand,
    ledger.ExpireCommand,
    ledger.CloseCommand,
    ledger.CheckInCommand,
    ledger.UseCommand,
)
LEDGER_RESULTS = _about_passes("ledger.results", ledger.CommandCompleted)
PROGRAM_CHANGED = _directory("program.changed", "program_id", directory.ProgramChanged)
TEMPLATE_PUBLISHED = _directory(
    "template.published", "template_id:version", directory.TemplatePublished
)
TEMPLATE_ASSETS = _directory(
    "template.assets", "workspace_id:digest", directory.TemplateAssetStored, size=1_000_000
)
WORKSPACE_ACCESS = _directory("workspace.access", "workspace_id", directory.WorkspaceAccessChanged)
WORKSPACE_CREDENTIALS = _directory(
    "workspace.credentials", "workspace_id", directory.WorkspaceCredentialsChanged
)
ENROLMENT_REQUESTED = Topic(
    "enrolment.requested", "claim_code", PASS_PARTITIONS, False, (directory.EnrolmentRequested,)
)
OPERATIONS_EVENTS = Topic(
    "operations.events", "operation_id", DIRECTORY_PARTITIONS, False, (directory.OperationReported,)
)

SERVICES = ("ledger", "pass-issuer", "wallet-webservice", "notifier", "event-bridge")

DEAD_LETTERS = {service: _dead_letters(service) for service in SERVICES}

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        PASS_INBOUND,
        PASS_CREATED,
        PASS_UPDATED,
        PASS_BALANCE_CHANGED,
        PASS_REDEEMED,
        PASS_RENDERED,
        WALLET_ACTIVITY,
        LINK_CHANGED,
        MESSAGE_REQUESTED,
        MESSAGE_ISSUED,
        DELIVERY_COMPLETED,
        LEDGER_COMMANDS,
        LEDGER_RESULTS,
        PROGRAM_CHANGED,
        TEMPLATE_PUBLISHED,
        TEMPLATE_ASSETS,
        WORKSPACE_ACCESS,
        WORKSPACE_CREDENTIALS,
        ENROLMENT_REQUESTED,
        OPERATIONS_EVENTS,
        *DEAD_LETTERS.values(),
    )
}
