-- Programs as the issuer tells them on program.changed.
CREATE TABLE program (
    workspace_id       uuid NOT NULL,
    program_id         uuid NOT NULL,
    protocol           text NOT NULL
        CHECK (protocol IN ('MEMBERSHIP', 'COUPON', 'EVENT_TICKET', 'GIFT_CARD')),
    unit               text NOT NULL,
    unit_scale         smallint NOT NULL,
    floor_minor        bigint NOT NULL,
    -- A floor that was raised makes no finding of older balances.
    lowest_floor_minor bigint NOT NULL,
    max_entry_minor    bigint,
    max_balance_minor  bigint,
    max_per_day_minor  bigint,
    rules              jsonb NOT NULL,
    thresholds         jsonb NOT NULL,
    status             text NOT NULL CHECK (status IN ('active', 'suspended', 'retired')),
    revision           bigint NOT NULL,
    changed_at         timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, program_id)
);
SELECT isolate_by_workspace('program');

-- Only ids of workspaces, no fact about any of them: without the list, the verifier could not name
-- the workspaces whose rows it has to read.
CREATE TABLE known_workspace (
    known_workspace_id uuid PRIMARY KEY
);
SELECT grant_shared('known_workspace');

-- One account for each pass, and counter-accounts for each program and unit. The balance of a
-- counter-account is the sum of its postings and is kept nowhere: a row that every entry updates
-- would make all of them wait for one another.
CREATE TABLE account (
    workspace_id       uuid NOT NULL,
    account_id         bigint GENERATED ALWAYS AS IDENTITY,
    kind               text NOT NULL
        CHECK (kind IN ('pass', 'issuance', 'redeemed', 'adjustments')),
    program_id         uuid NOT NULL,
    unit               text NOT NULL,
    unit_scale         smallint NOT NULL,
    pass_id            uuid CHECK ((pass_id IS NOT NULL) = (kind = 'pass')),
    external_id        text,
    balance_owner      text NOT NULL DEFAULT 'passferry'
        CHECK (balance_owner IN ('passferry', 'upstream')),
    balance_minor      bigint NOT NULL DEFAULT 0,
    version            bigint NOT NULL DEFAULT 0,
    status             text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    closed_reason      text,
    closed_at          timestamptz,
    -- What was earned and redeemed on the UTC day `counted_on`, for the limit per day.
    counted_on         date NOT NULL DEFAULT '-infinity',
    day_earned_minor   bigint NOT NULL DEFAULT 0,
    day_redeemed_minor bigint NOT NULL DEFAULT 0,
    opened_at          timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, account_id),
    UNIQUE (workspace_id, pass_id),
    UNIQUE (workspace_id, external_id),
    FOREIGN KEY (workspace_id, program_id) REFERENCES program
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX account_counter ON account (workspace_id, program_id, unit, kind)
    WHERE kind <> 'pass';
SELECT isolate_by_workspace('account');

CREATE TABLE entry (
    workspace_id  uuid NOT NULL,
    entry_id      uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('opening', 'earn', 'redeem', 'adjust')),
    reference     text,
    reason        text,
    merchant_id   text,
    merchant_name text,
    location      text,
    terminal      text,
    recorded_by   text NOT NULL,
    occurred_at   timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, entry_id)
);
-- For ever: a business fact is written once, whatever idempotency keys it comes under.
CREATE UNIQUE INDEX entry_reference ON entry (workspace_id, reference)
    WHERE reference IS NOT NULL;
SELECT isolate_append_only('entry');

-- No foreign key to account: its check would lock the row that the entry is about once more.
CREATE TABLE posting (
    workspace_id        uuid NOT NULL,
    entry_id            uuid NOT NULL,
    account_id          bigint NOT NULL,
    amount_minor        bigint NOT NULL CHECK (amount_minor <> 0),
    unit                text NOT NULL,
    -- Of pass accounts: the account's count of changes, and its balance after this one.
    version             bigint,
    balance_after_minor bigint CHECK ((balance_after_minor IS NULL) = (version IS NULL)),
    PRIMARY KEY (workspace_id, entry_id, account_id),
    FOREIGN KEY (workspace_id, entry_id) REFERENCES entry
);
CREATE UNIQUE INDEX posting_version ON posting (workspace_id, account_id, version)
    WHERE version IS NOT NULL;
SELECT isolate_append_only('posting');

-- All postings of an entry come in one statement, so the statement is what must balance.
CREATE FUNCTION refuse_unbalanced_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_entry uuid;
BEGIN
    SELECT written.entry_id INTO v_entry FROM written
    GROUP BY written.workspace_id, written.entry_id, written.unit
    HAVING sum(written.amount_minor) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings of entry % do not sum to zero', v_entry
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_balanced AFTER INSERT ON posting
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced_postings();

-- The one outcome of each idempotency key, refusals included. A row is written with the outcome
-- and never changes.
CREATE TABLE idempotency_result (
    workspace_id           uuid NOT NULL,
    idempotency_key        text NOT NULL,
    fingerprint            bytea NOT NULL,
    account_id             bigint NOT NULL,
    code                   text NOT NULL,
    entry_id               uuid CHECK ((entry_id IS NOT NULL) = (code = 'applied')),
    version                bigint NOT NULL,
    previous_balance_minor bigint NOT NULL,
    balance_minor          bigint NOT NULL,
    available_minor        bigint NOT NULL,
    is_exhausted           boolean NOT NULL,
    recorded_at            timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, idempotency_key)
);
SELECT isolate_append_only('idempotency_result');
