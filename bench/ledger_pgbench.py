"""What the same Postgres does for pgbench: the ledger's functions one command a call, and a floor.

pgbench writes a line per transaction; the figures are taken from those inside the window.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

from bench.ledger_loads import FIRST_PASS, HOT, ZIPF, Cell, Measured, summary

ONE_BY_ONE, FLOOR = "pgbench one by one", "pgbench floor"
THREADS = 2
#: pgbench takes no smaller exponent.
ZIPF_EXPONENT = 1.001
#: Until each connection has planned the functions: seconds for each hundred of them.
PLANNING_S_PER_100 = 1.2
#: Transactions of a connection before the window, else it is tried again, warmed up twice as long.
PLANNED_AFTER, WARM_UPS = 2, 3
#: For hundreds of connections, before the first transaction and after the last.
CONNECTING_S = 60.0

#: What pgbench calls, one command a call. It locks, decides and writes as the service does, in one
#: round trip and without the events, so that the ceiling is rather too high than too low.
CALL = "SELECT bench.apply_one(:account, :amount)"

#: `{pass_prefix}`, `{workspace_id}` and the counter-accounts are constants of the installation.
FUNCTION = """
CREATE SCHEMA bench;
CREATE FUNCTION bench.apply_one(p_account integer, p_amount bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    c_workspace constant uuid := '{workspace_id}';
    v_pass uuid := ('{pass_prefix}' || lpad(to_hex(p_account), 12, '0'))::uuid;
    v_key text := gen_random_uuid()::text;
    -- Rising with time, as the service's ids are.
    v_entry uuid := (
        lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
        || substr(replace(v_key, '-', ''), 13))::uuid;
    v_now timestamptz := clock_timestamp();
    v_kind text := CASE WHEN p_amount > 0 THEN 'earn' ELSE 'redeem' END;
    v_counter bigint := CASE WHEN p_amount > 0 THEN {issuance} ELSE {redeemed} END;
    v_balance bigint;
    v_version bigint;
    a record;
BEGIN
    SELECT * INTO STRICT a FROM lock_accounts_v1(
        p_workspace_ids => ARRAY[c_workspace], p_pass_ids => ARRAY[v_pass],
        p_external_ids => ARRAY[NULL::text], p_codes => ARRAY[NULL::text],
        p_to_pass_ids => ARRAY[NULL::uuid], p_to_external_ids => ARRAY[NULL::text],
        p_reverses => ARRAY[NULL::uuid], p_reverses_references => ARRAY[NULL::text],
        p_keys => ARRAY[v_key], p_references => ARRAY[NULL::text]);
    v_balance := a.balance_minor + p_amount;
    v_version := a.version + 1;
    v_now := greatest(v_now, a.recorded_at);
    PERFORM write_entries_v1(
        p_now => v_now,
        r_workspace_ids => ARRAY[c_workspace], r_keys => ARRAY[v_key],
        r_fingerprints => ARRAY[sha256(v_key::bytea)], r_account_ids => ARRAY[a.account_id],
        r_codes => ARRAY['applied'], r_commands => ARRAY[v_kind], r_kinds => ARRAY[v_kind],
        r_entry_ids => ARRAY[v_entry], r_versions => ARRAY[v_version],
        r_previous => ARRAY[a.balance_minor], r_balances => ARRAY[v_balance],
        r_available => ARRAY[v_balance], r_held => ARRAY[a.held_minor],
        r_exhausted => ARRAY[false], r_recorded_at => ARRAY[v_now],
        r_recorded_by => ARRAY['bench'], r_details => ARRAY[NULL::text],
        e_workspace_ids => ARRAY[c_workspace], e_entry_ids => ARRAY[v_entry],
        e_kinds => ARRAY[v_kind], e_references => ARRAY[NULL::text],
        e_reasons => ARRAY[NULL::text], e_merchant_ids => ARRAY[NULL::text],
        e_merchant_names => ARRAY[NULL::text], e_locations => ARRAY[NULL::text],
        e_terminals => ARRAY[NULL::text], e_recorded_by => ARRAY['bench'],
        e_occurred_at => ARRAY[v_now], e_recorded_at => ARRAY[v_now],
        e_reverses => ARRAY[NULL::uuid], e_hold_ids => ARRAY[NULL::uuid],
        e_purchases => ARRAY[NULL::bigint], e_purchase_units => ARRAY[NULL::text],
        p_workspace_ids => ARRAY[c_workspace, c_workspace],
        p_entry_ids => ARRAY[v_entry, v_entry], p_account_ids => ARRAY[a.account_id, v_counter],
        p_amounts => ARRAY[p_amount, -p_amount], p_units => ARRAY[a.unit, a.unit],
        p_versions => ARRAY[v_version, NULL], p_balances => ARRAY[v_balance, NULL],
        p_held_changes => ARRAY[0, 0]::bigint[], p_held => ARRAY[a.held_minor, 0],
        a_account_ids => ARRAY[a.account_id], a_balances => ARRAY[v_balance],
        a_held => ARRAY[a.held_minor], a_open_holds => ARRAY[a.open_holds],
        a_versions => ARRAY[v_version], a_counted_on => ARRAY[a.counted_on],
        a_day_earned => ARRAY[a.day_earned_minor], a_day_redeemed => ARRAY[a.day_redeemed_minor],
        a_full => ARRAY[CASE WHEN p_amount > 0 THEN v_balance ELSE a.full_minor END],
        a_lots => ARRAY[a.lots_minor],
        a_undated_expires_at => ARRAY[a.undated_expires_at], a_tiers => ARRAY[a.tier],
        a_tier_earned => ARRAY[a.tier_earned_minor], a_tier_until => ARRAY[a.tier_until],
        a_checked_in => ARRAY[a.is_checked_in], a_recorded_at => ARRAY[v_now],
        a_closed_reasons => ARRAY[NULL::text]);
    RETURN v_balance;
END $$;
GRANT USAGE ON SCHEMA bench TO passferry_ledger;
GRANT EXECUTE ON FUNCTION bench.apply_one TO passferry_ledger
"""

COUNTER_ACCOUNTS = """
SELECT kind, account_id FROM ledger.account
WHERE workspace_id = $1 AND kind IN ('issuance', 'redeemed')
"""

FLOOR_TABLES = """
CREATE SCHEMA floor;
CREATE TABLE floor.account (account_id bigint PRIMARY KEY, balance bigint NOT NULL)
    WITH (fillfactor = 60);
CREATE TABLE floor.entry (
    entry_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    amount     bigint NOT NULL,
    reference  text NOT NULL UNIQUE);
INSERT INTO floor.account SELECT number, 0 FROM generate_series(0, {accounts} - 1) AS number;
ANALYZE floor.account
"""

#: One balance update and one insert with a unique reference per commit, in one round trip.
FLOOR_CALL = """
WITH changed AS (
    UPDATE floor.account SET balance = balance + :amount WHERE account_id = :account
    RETURNING account_id)
INSERT INTO floor.entry (account_id, amount, reference)
SELECT account_id, :amount, gen_random_uuid()::text FROM changed
"""


def find_pgbench() -> Path | None:
    """On the PATH, or the newest that the system's Postgres packages brought."""
    on_path = shutil.which("pgbench")
    if on_path is not None:
        return Path(on_path)
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    return packaged[-1] if packaged else None


def function_text(workspace_id: UUID, counters: dict[str, int]) -> str:
    prefix = str(FIRST_PASS)[:24]
    texts = {"{pass_prefix}": prefix, "{workspace_id}": str(workspace_id)}
    texts |= {f"{{{kind}}}": str(account_id) for kind, account_id in counters.items()}
    text = FUNCTION
    for name, value in texts.items():
        text = text.replace(name, value)
    return text


@dataclass(frozen=True, slots=True)
class _End:
    """A line of pgbench's log; it ended at a second of the epoch."""

    client: str
    took_s: float
    ended_at: float


def _end(line: str) -> _End:
    client, _, took_us, _, second, microsecond = line.split()[:6]
    return _End(client, int(took_us) / 1e6, int(second) + int(microsecond) / 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class PgBench:
    """`url` is of the role that calls; `workspace_id` is the one it may touch."""

    program: Path
    url: str
    workspace_id: UUID
    accounts: int

    async def measure(self, cell: Cell, *, warm_up_s: float, seconds: float) -> Measured:
        """Warms up for longer when a connection had not yet planned its calls by then."""
        if cell.way == ONE_BY_ONE:
            warm_up_s += PLANNING_S_PER_100 * cell.clients / 100
        for _ in range(WARM_UPS):
            total_s = round(warm_up_s + seconds + 0.5)
            ends = await asyncio.to_thread(self._ends, cell, total_s)
            # After the time is up, clients only finish what they have begun.
            stopped_at = max(each.ended_at - each.took_s for each in ends)
            begins_at = stopped_at - seconds
            before = Counter(each.client for each in ends if each.ended_at <= begins_at)
            if len(before) == cell.clients and min(before.values()) >= PLANNED_AFTER:
                break
            warm_up_s *= 2
        inside = [each.took_s for each in ends if begins_at < each.ended_at <= stopped_at]
        return summary(cell, inside, seconds)

    def _ends(self, cell: Cell, total_s: int) -> list[_End]:
        with tempfile.TemporaryDirectory(prefix="ledger-bench-") as folder:
            script, logs = Path(folder, "script.sql"), Path(folder, "log")
            script.write_text(self._script(cell))
            self._run(cell, script, logs, total_s)
            return [_end(line) for log in Path(folder).glob("log*") for line in log.open()]

    def _script(self, cell: Cell) -> str:
        last = self.accounts - 1
        draw = f"random(0, {last})"
        if cell.skew == ZIPF:
            draw = f"random_zipfian(1, {self.accounts}, {ZIPF_EXPONENT}) - 1"
        elif cell.skew == HOT:
            draw = str(self.accounts // 2)
        call = FLOOR_CALL if cell.way == FLOOR else CALL
        lines = (f"\\set account {draw}", "\\set amount random(0, 1) * 2 - 1", call.strip() + ";")
        return "\n".join(lines) + "\n"

    def _run(self, cell: Cell, script: Path, logs: Path, total_s: int) -> None:
        arguments = ["-n", "-M", "prepared", "-c", str(cell.clients), "-T", str(total_s)]
        arguments += ["-j", str(min(THREADS, cell.clients)), "-l", f"--log-prefix={logs}"]
        done = subprocess.run(
            [self.program, *arguments, f"--file={script}"],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=total_s + CONNECTING_S,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"pgbench failed: {done.stderr[-2000:]}")

    def _environment(self) -> dict[str, str]:
        parts = urlsplit(self.url)
        options = f"-c search_path=ledger -c jit=off -c app.workspace_ids={{{self.workspace_id}}}"
        return {
            "PATH": os.environ.get("PATH", ""),
            "PGHOST": parts.hostname or "127.0.0.1",
            "PGPORT": str(parts.port or 5432),
            "PGUSER": unquote(parts.username or "postgres"),
            "PGPASSWORD": unquote(parts.password or ""),
            "PGDATABASE": parts.path.lstrip("/"),
            # The plan for all calls at once: what each connection would come to after a few.
            "PGOPTIONS": f"{options} -c plan_cache_mode=force_generic_plan",
        }
