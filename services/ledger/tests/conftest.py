"""The ledger in memory, written a second time and one command at a time; and what tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from passferry_ledger.adapters.postgres_accounts import PostgresAccounts
from passferry_ledger.adapters.postgres_ledger import PostgresLedger
from passferry_ledger.adapters.postgres_reads import PostgresReads
from passferry_ledger.adapters.postgres_verifier import PostgresVerifier
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.batch_commands import BatchCommands
from passferry_ledger.application.ports import Opening, Submission
from passferry_ledger.domain.accounts import Closing, NewAccount, PassAddress, Program
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.outcomes import Outcome
from passferry_runtime.clock import FixedClock
from passferry_runtime.errors import Conflict, Unavailable
from passferry_runtime.postgres import Database
from passferry_testing.harness import Harness

NOON = datetime(2026, 5, 14, 12, 0, tzinfo=UTC)
LARGEST = 2**63 - 1


@dataclass
class FakeAccount:
    account: NewAccount
    balance: int = 0
    version: int = 0
    closed_reason: str | None = None
    earned_today: int = 0
    redeemed_today: int = 0


@dataclass
class FakeLedger:
    """What the stored function must do, in plain sight. Knows one day only."""

    accounts: dict[tuple[UUID, UUID], FakeAccount] = field(default_factory=dict)
    programs: dict[tuple[UUID, UUID], Program] = field(default_factory=dict)
    results: dict[tuple[UUID, str], tuple[bytes, FakeAccount, Outcome]] = field(
        default_factory=dict
    )
    references: set[tuple[UUID, str]] = field(default_factory=set)

    async def store_programs(self, programs: Sequence[Program]) -> None:
        for program in programs:
            key = (program.workspace_id, program.program_id)
            if key not in self.programs or self.programs[key].revision < program.revision:
                self.programs[key] = program

    async def open_accounts(self, accounts: Sequence[NewAccount]) -> list[Opening]:
        return [self._open(account) for account in accounts]

    def _open(self, account: NewAccount) -> Opening:
        program = self.programs.get((account.workspace_id, account.program_id))
        if program is None:
            return Opening.PROGRAM_UNKNOWN
        if account.opening_balance_minor < min(program.floor_minor, 0):
            return Opening.OPENING_BELOW_FLOOR
        if (account.workspace_id, account.pass_id) in self.accounts:
            return Opening.KNOWN
        holder = self.find(account.workspace_id, None, account.external_id)
        if holder is not None:
            if holder.closed_reason is None:
                return Opening.EXTERNAL_ID_TAKEN
            holder.account = replace(holder.account, external_id="")
        opened = FakeAccount(account)
        if account.opening_balance_minor:
            opened.balance, opened.version = account.opening_balance_minor, 1
        self.accounts[(account.workspace_id, account.pass_id)] = opened
        return Opening.OPENED

    async def close_accounts(self, closings: Sequence[Closing]) -> list[bool]:
        known = []
        for closing in closings:
            found = self.accounts.get((closing.workspace_id, closing.pass_id))
            known.append(found is not None)
            if found is not None:
                found.closed_reason = found.closed_reason or closing.reason
                if closing.forget:
                    found.account = replace(found.account, external_id="")
        return known

    async def apply(
        self, submissions: Sequence[Submission], *, suspended: Collection[UUID]
    ) -> list[Outcome]:
        return [
            self.decide(submission.command, submission.command.workspace_id in suspended)
            for submission in submissions
        ]

    def find(
        self, workspace_id: UUID, pass_id: UUID | None, external_id: str | None
    ) -> FakeAccount | None:
        if pass_id is not None:
            return self.accounts.get((workspace_id, pass_id))
        return next(
            (
                found
                for (workspace, _), found in self.accounts.items()
                if workspace == workspace_id and found.account.external_id == external_id
            ),
            None,
        )

    def decide(self, command: Command, is_suspended: bool) -> Outcome:
        found = self.find(command.workspace_id, command.pass_id, command.external_id)
        if found is None:
            return Outcome(code="pass_unknown")
        if command.pass_id and command.external_id not in (None, found.account.external_id):
            return Outcome(code="pass_mismatch")
        key = (command.workspace_id, command.idempotency_key or "")
        if key in self.results:
            fingerprint, account, outcome = self.results[key]
            if fingerprint != command.fingerprint() or account is not found:
                return Outcome(code="key_reused")
            return replace(outcome, is_replayed=True)
        outcome = self._decide_anew(command, found, is_suspended)
        self.results[key] = (command.fingerprint(), found, outcome)
        return outcome

    def _decide_anew(self, command: Command, found: FakeAccount, is_suspended: bool) -> Outcome:
        program = self.programs[(command.workspace_id, found.account.program_id)]
        before = found.balance
        code = self._refusal(command, found, program, is_suspended) or "applied"
        if code == "applied":
            found.balance += change_of(command)
            found.version += 1
            if command.reference is not None:
                self.references.add((command.workspace_id, command.reference))
            if command.kind is EntryKind.EARN:
                found.earned_today += command.amount_minor
            if command.kind is EntryKind.REDEEM:
                found.redeemed_today += command.amount_minor
        return Outcome(
            code=code,
            pass_id=found.account.pass_id,
            version=found.version,
            previous_balance_minor=before,
            balance_minor=found.balance,
            available_minor=max(found.balance - program.floor_minor, 0),
            is_exhausted=code == "applied"
            and program.protocol == "COUPON"
            and command.kind is EntryKind.REDEEM
            and found.balance <= program.floor_minor,
        )

    def _refusal(
        self, command: Command, found: FakeAccount, program: Program, is_suspended: bool
    ) -> str | None:
        amount, change = command.amount_minor, change_of(command)
        after = found.balance + change
        today = (
            found.earned_today if command.kind is EntryKind.EARN else found.redeemed_today
        ) + amount
        is_over_day = command.kind is not EntryKind.ADJUST and _exceeds(
            today, program.max_per_day_minor
        )
        refusals = {
            "balance_kept_upstream": found.account.is_kept_upstream,
            "account_closed": found.closed_reason is not None,
            "workspace_suspended": is_suspended,
            "program_suspended": program.status == "suspended",
            "program_retired": program.status == "retired",
            "unit_mismatch": command.unit not in (None, found.account.unit),
            "amount_invalid": amount == 0 or (amount < 0 and command.kind is not EntryKind.ADJUST),
            "reference_used": (command.workspace_id, command.reference) in self.references,
            "amount_out_of_range": abs(after) > LARGEST,
            "entry_limit_exceeded": _exceeds(abs(amount), program.max_entry_minor),
            "day_limit_exceeded": is_over_day,
            "balance_limit_exceeded": change > 0 and _exceeds(after, program.max_balance_minor),
            "insufficient_balance": change < 0 and after < program.floor_minor,
        }
        return next((code for code, applies in refusals.items() if applies), None)


def change_of(command: Command) -> int:
    amount = command.amount_minor or 0
    return -amount if command.kind is EntryKind.REDEEM else amount


def _exceeds(amount: int, limit: int | None) -> bool:
    return limit is not None and amount > limit


@dataclass
class FakeWorkspaces:
    """Everybody is known but those named here."""

    unknown: set[UUID] = field(default_factory=set)
    suspended: set[UUID] = field(default_factory=set)
    without_passes: set[UUID] = field(default_factory=set)

    def is_known(self, workspace_id: UUID) -> bool:
        return workspace_id not in self.unknown

    def is_suspended(self, workspace_id: UUID) -> bool:
        return workspace_id in self.suspended

    def may_hold_passes(self, workspace_id: UUID) -> bool:
        return workspace_id not in self.without_passes


def make_program(workspace_id: UUID, **changes: object) -> Program:
    program = Program(
        workspace_id=workspace_id,
        program_id=uuid4(),
        protocol="MEMBERSHIP",
        unit="points",
        unit_scale=0,
        floor_minor=0,
        max_entry_minor=None,
        max_balance_minor=None,
        max_per_day_minor=None,
        rules={},
        thresholds=[],
        status="active",
        revision=1,
        changed_at=NOON,
    )
    return replace(program, **changes)


def make_account(program: Program, **changes: object) -> NewAccount:
    pass_id = uuid4()
    account = NewAccount(
        workspace_id=program.workspace_id,
        pass_id=pass_id,
        external_id=f"card-{pass_id}",
        program_id=program.program_id,
        unit=program.unit,
        unit_scale=program.unit_scale,
        is_kept_upstream=False,
        opening_balance_minor=0,
        opened_at=NOON,
    )
    return replace(account, **changes)


def make_command(account: NewAccount, kind: str, amount: int, **changes: object) -> Command:
    command = Command(
        workspace_id=account.workspace_id,
        kind=EntryKind(kind),
        amount_minor=amount,
        pass_id=account.pass_id,
        idempotency_key=str(uuid4()),
        recorded_by="test",
    )
    return replace(command, **changes)


@pytest.fixture
def make() -> SimpleNamespace:
    """Factories whose products are valid."""
    return SimpleNamespace(
        program=make_program,
        account=make_account,
        command=make_command,
        fake_ledger=FakeLedger,
        workspaces=FakeWorkspaces,
    )


@dataclass
class RealLedger:
    """The ledger on Postgres, with both roles' ways in."""

    harness: Harness
    database: Database
    clock: FixedClock
    commands: PostgresLedger
    accounts: PostgresAccounts
    reads: PostgresReads
    verifier: PostgresVerifier

    async def open_one(self, program: Program | None = None, **changes: object) -> NewAccount:
        known = program or make_program(uuid4())
        await self.accounts.store_programs([known])
        account = make_account(known, **changes)
        assert await self.accounts.open_accounts([account]) == [Opening.OPENED]
        return account

    async def apply(self, *commands: Command, suspended: Collection[UUID] = ()) -> list[Outcome]:
        submissions = [Submission(command=command) for command in commands]
        return await self.commands.apply(submissions, suspended=suspended)

    async def balance(self, account: NewAccount) -> int:
        address = PassAddress(workspace_id=account.workspace_id, pass_id=account.pass_id)
        found = await self.reads.find_account(address)
        assert found is not None
        return found.balance_minor

    async def findings(self) -> list[str]:
        return [
            finding.code
            for workspace_id in await self.verifier.workspaces()
            for finding in await self.verifier.findings(workspace_id)
        ]


@pytest_asyncio.fixture
async def real(harness: Harness) -> AsyncIterator[RealLedger]:
    await harness.migrate("ledger", "passferry_ledger.migrations")
    clock = FixedClock(NOON)
    async with Database.open(harness.app_url("ledger"), service="ledger", clock=clock) as database:
        yield RealLedger(
            harness=harness,
            database=database,
            clock=clock,
            commands=PostgresLedger(database, clock),
            accounts=PostgresAccounts(database, clock),
            reads=PostgresReads(database, clock),
            verifier=PostgresVerifier(database),
        )


@dataclass
class Replica:
    """One of several ledgers at work on one database: a pool of its own, and lanes."""

    store: PostgresLedger
    batch: BatchCommands

    async def tell(self, command: Command) -> Outcome:
        """Ask again with the same key until it is said what became of it."""
        async with asyncio.timeout(60):
            while True:
                try:
                    return await self.batch(Submission(command=command))
                except (Unavailable, Conflict):
                    await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def fleet(real: RealLedger) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        replicas = []
        for _ in range(3):
            database = await stack.enter_async_context(
                Database.open(
                    real.harness.app_url("ledger"), service="ledger", max_size=4, clock=real.clock
                )
            )
            store = PostgresLedger(database, real.clock)
            batch = BatchCommands(ApplyCommands(ledger=store, workspaces=FakeWorkspaces()))
            replicas.append(Replica(store, batch))
        tasks = [asyncio.create_task(replica.batch.run()) for replica in replicas]
        yield replicas
        for replica in replicas:
            replica.batch.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)
