"""Every metric of the ledger's own."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

COMMANDS = Counter(
    "passferry_ledger_commands_total",
    "Commands decided, by what became of them",
    ["kind", "result"],
)
BATCH_COMMANDS = Histogram(
    "passferry_ledger_batch_commands",
    "Commands applied in one transaction",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
BATCH_SECONDS = Histogram(
    "passferry_ledger_batch_seconds",
    "From a batch's start to its commit",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
QUEUED_COMMANDS = Gauge("passferry_ledger_queued_commands", "HTTP commands that wait for a batch")
UNREADABLE_RULES = Counter(
    "passferry_ledger_unreadable_rules_total",
    "Program revisions whose rules could not be read: their passes are plain accounts",
)
DUE = Counter(
    "passferry_ledger_due_total",
    "What time alone made due, and was done: holds, points and tiers ended, lapses announced",
    ["duty"],
)
SEALED_ENTRIES = Counter("passferry_ledger_sealed_entries_total", "Entries that were sealed")
