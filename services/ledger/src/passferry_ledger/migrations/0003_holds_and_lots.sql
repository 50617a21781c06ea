-- Holds, lots and reversals; and keys that a plan cannot get wrong.
--
-- Every index that decisions look rows up by begins with the column that names one row. With the
-- workspace in front, a plan made while the table was small may read a whole workspace for each
-- row: both ways cost the same then, and the plan stays.

CREATE UNIQUE INDEX program_by_id ON program (program_id, workspace_id);

ALTER TABLE account DROP CONSTRAINT account_kind_check;
ALTER TABLE account
    ADD CHECK (kind IN ('pass', 'issuance', 'redeemed', 'adjustments', 'expired')),
    ADD COLUMN code               text,
    -- Set aside by open holds.
    ADD COLUMN held_minor         bigint NOT NULL DEFAULT 0 CHECK (held_minor >= 0),
    ADD COLUMN open_holds         integer NOT NULL DEFAULT 0 CHECK (open_holds >= 0),
    -- Balance after the last credit, which a low balance in percent is measured by.
    ADD COLUMN full_minor         bigint NOT NULL DEFAULT 0,
    -- What is left in lots; the rest of the balance is undated.
    ADD COLUMN lots_minor         bigint NOT NULL DEFAULT 0 CHECK (lots_minor >= 0),
    ADD COLUMN undated_expires_at timestamptz,
    -- The last such time that was told by points.expiring.
    ADD COLUMN undated_announced  timestamptz,
    ADD COLUMN tier               text,
    ADD COLUMN tier_earned_minor  bigint NOT NULL DEFAULT 0,
    ADD COLUMN tier_until         timestamptz,
    ADD COLUMN is_checked_in      boolean NOT NULL DEFAULT false,
    -- Of the last entry: times never run against versions.
    ADD COLUMN recorded_at        timestamptz,
    DROP CONSTRAINT account_pkey,
    DROP CONSTRAINT account_workspace_id_pass_id_key,
    DROP CONSTRAINT account_workspace_id_external_id_key,
    ADD PRIMARY KEY (account_id),
    ADD UNIQUE (pass_id, workspace_id),
    ADD UNIQUE (external_id, workspace_id);
DROP INDEX account_counter;
CREATE UNIQUE INDEX account_counter ON account (program_id, unit, kind, workspace_id)
    WHERE kind <> 'pass';
CREATE INDEX account_listing ON account (workspace_id, pass_id) WHERE kind = 'pass';
CREATE INDEX account_code ON account (code, workspace_id) WHERE code IS NOT NULL;
CREATE INDEX account_tier_due ON account (tier_until) WHERE tier_until IS NOT NULL;
CREATE INDEX account_undated_due ON account (undated_expires_at)
    WHERE undated_expires_at IS NOT NULL;

-- The check of a foreign key would lock each entry once more for each of its postings; one function
-- writes both, and the verifier finds either without the other.
ALTER TABLE posting
    DROP CONSTRAINT posting_workspace_id_entry_id_fkey,
    DROP CONSTRAINT posting_pkey,
    DROP CONSTRAINT posting_amount_minor_check,
    ADD COLUMN held_change_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN held_after_minor  bigint NOT NULL DEFAULT 0 CHECK (held_after_minor >= 0),
    -- A change of what is held, a closing and a re-entry move nothing, yet are changes of a pass.
    ADD CHECK (amount_minor <> 0 OR version IS NOT NULL),
    ADD PRIMARY KEY (entry_id, account_id);
DROP INDEX posting_version;
CREATE UNIQUE INDEX posting_version ON posting (account_id, version) WHERE version IS NOT NULL;

ALTER TABLE entry
    DROP CONSTRAINT entry_pkey,
    DROP CONSTRAINT entry_kind_check,
    ADD CHECK (kind IN (
        'opening', 'load', 'earn', 'redeem', 'adjust', 'transfer', 'hold', 'capture', 'release',
        'reverse', 'expire', 'close', 'check_in', 'review')),
    ADD COLUMN reverses       uuid CHECK ((reverses IS NOT NULL) = (kind = 'reverse')),
    ADD COLUMN hold_id        uuid
        CHECK ((hold_id IS NOT NULL) = (kind IN ('hold', 'capture', 'release'))),
    ADD COLUMN purchase_minor bigint,
    ADD COLUMN purchase_unit  text,
    ADD PRIMARY KEY (entry_id);
DROP INDEX entry_reference;
CREATE UNIQUE INDEX entry_reference ON entry (reference, workspace_id) WHERE reference IS NOT NULL;
CREATE INDEX entry_reversals ON entry (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX entry_holds ON entry (hold_id) WHERE hold_id IS NOT NULL;
CREATE INDEX entry_listing ON entry (workspace_id, recorded_at, entry_id);

-- With who gave the command, the results are the audit of all commands, refused ones included.
ALTER TABLE idempotency_result
    DROP CONSTRAINT idempotency_result_pkey,
    ADD COLUMN command     text,
    ADD COLUMN kind        text,
    ADD COLUMN held_minor  bigint NOT NULL DEFAULT 0,
    ADD COLUMN recorded_by text NOT NULL DEFAULT '',
    -- What only some commands have: hold, reversed entry, tier, crossings, the other pass.
    ADD COLUMN details     jsonb,
    ADD PRIMARY KEY (idempotency_key, workspace_id);
CREATE INDEX idempotency_result_listing ON idempotency_result (workspace_id, recorded_at);

-- The owner is held to the workspaces of its transaction too; these rows are of all of them.
ALTER TABLE account NO FORCE ROW LEVEL SECURITY;
ALTER TABLE entry NO FORCE ROW LEVEL SECURITY;
ALTER TABLE idempotency_result NO FORCE ROW LEVEL SECURITY;
UPDATE account SET full_minor = balance_minor WHERE kind = 'pass';
INSERT INTO account (workspace_id, kind, program_id, unit, unit_scale, opened_at)
SELECT workspace_id, 'expired', program_id, unit, unit_scale, opened_at
FROM account WHERE kind = 'issuance';
UPDATE idempotency_result SET kind = entry.kind, command = entry.kind,
    recorded_by = entry.recorded_by
FROM entry WHERE entry.entry_id = idempotency_result.entry_id;
ALTER TABLE account FORCE ROW LEVEL SECURITY;
ALTER TABLE entry FORCE ROW LEVEL SECURITY;
ALTER TABLE idempotency_result FORCE ROW LEVEL SECURITY;

CREATE TABLE hold (
    hold_id        uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL,
    account_id     bigint NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    captured_minor bigint NOT NULL CHECK (captured_minor >= 0),
    released_minor bigint NOT NULL CHECK (released_minor >= 0),
    state          text NOT NULL CHECK (state IN ('open', 'captured', 'released', 'expired')),
    expires_at     timestamptz NOT NULL,
    CHECK (captured_minor + released_minor <= amount_minor),
    CHECK ((state = 'open') = (captured_minor + released_minor < amount_minor))
);
SELECT isolate_by_workspace('hold');
CREATE INDEX hold_of_account ON hold (account_id, hold_id);
CREATE INDEX hold_due ON hold (expires_at) WHERE state = 'open';

CREATE TABLE lot (
    lot_id          uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL,
    account_id      bigint NOT NULL,
    starts_at       timestamptz,
    expires_at      timestamptz,
    remaining_minor bigint NOT NULL CHECK (remaining_minor >= 0),
    -- When points.expiring was told.
    announced_at    timestamptz,
    CHECK (starts_at IS NOT NULL OR expires_at IS NOT NULL),
    UNIQUE NULLS NOT DISTINCT (account_id, starts_at, expires_at)
);
SELECT isolate_by_workspace('lot');
CREATE INDEX lot_due ON lot (expires_at) WHERE remaining_minor > 0 AND expires_at IS NOT NULL;

CREATE TABLE lot_movement (
    entry_id     uuid NOT NULL,
    lot_id       uuid NOT NULL,
    place        smallint NOT NULL,
    workspace_id uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (entry_id, lot_id, place)
);
SELECT isolate_append_only('lot_movement');
CREATE INDEX lot_movement_of_lot ON lot_movement (lot_id);

-- The balance of an account as it was at a time: posting versions and times grow together, so it is
-- found by halving, however long the history is. No row: the account had no entry yet.
CREATE FUNCTION posting_at(p_account_id bigint, p_at timestamptz)
RETURNS TABLE (version bigint, balance_after_minor bigint, held_after_minor bigint)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_low bigint := 0;
    v_high bigint;
    v_middle bigint;
    v_recorded_at timestamptz;
BEGIN
    SELECT account.version INTO v_high FROM account WHERE account.account_id = p_account_id;
    WHILE v_low < v_high LOOP
        v_middle := v_low + (v_high - v_low + 1) / 2;
        SELECT entry.recorded_at INTO v_recorded_at
        FROM posting JOIN entry ON entry.entry_id = posting.entry_id
        WHERE posting.account_id = p_account_id AND posting.version = v_middle;
        IF v_recorded_at <= p_at THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle - 1;
        END IF;
    END LOOP;
    RETURN QUERY
    SELECT posting.version, posting.balance_after_minor, posting.held_after_minor
    FROM posting WHERE posting.account_id = p_account_id AND posting.version = v_low;
END $$;
