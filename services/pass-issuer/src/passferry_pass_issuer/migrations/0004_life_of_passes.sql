-- Tags and consents are for choosing whom to write to, so they can be searched; what is personal
-- stays in the ciphertext. Of an erased holder nothing is left but the id.
ALTER TABLE holder
    ADD COLUMN tags      text[] NOT NULL DEFAULT '{}',
    ADD COLUMN consents  jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN erased_at timestamptz;
CREATE INDEX holder_by_age ON holder (workspace_id, created_at, holder_id);

-- A pass with a follower is on its way out: it does not stand in the way of the membership that
-- takes its place. A forgotten pass is a stub that is never drawn again.
ALTER TABLE pass
    ADD COLUMN latest_message text,
    ADD COLUMN replaced_by    uuid,
    ADD COLUMN forgotten_at   timestamptz;
DROP INDEX pass_one_membership;
CREATE UNIQUE INDEX pass_one_membership ON pass (workspace_id, program_id, holder_id)
    WHERE protocol = 'MEMBERSHIP' AND status = 'active' AND replaced_by IS NULL;
CREATE INDEX pass_by_holder ON pass (workspace_id, holder_id, pass_id);
CREATE INDEX pass_by_expiry ON pass (workspace_id, expires_at, pass_id)
    WHERE status = 'active' AND expires_at IS NOT NULL;

-- Holders whose passes have still to be drawn again, or erased, behind `after_pass_id`.
CREATE TABLE holder_pages (
    workspace_id  uuid NOT NULL,
    holder_id     uuid NOT NULL,
    after_pass_id uuid NOT NULL,
    is_erasure    boolean NOT NULL,
    requested_at  timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, holder_id),
    FOREIGN KEY (workspace_id, holder_id) REFERENCES holder (workspace_id, holder_id)
);
CREATE INDEX holder_pages_by_age ON holder_pages (workspace_id, requested_at, holder_id);
SELECT isolate_by_workspace('holder_pages');

-- Ended passes whose records are taken back once phones had time to fetch the last revision.
CREATE TABLE pass_retirement (
    workspace_id uuid NOT NULL,
    pass_id      uuid NOT NULL,
    due_at       timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, pass_id),
    FOREIGN KEY (workspace_id, pass_id) REFERENCES pass (workspace_id, pass_id)
);
CREATE INDEX pass_retirement_by_time ON pass_retirement (workspace_id, due_at, pass_id);
SELECT isolate_by_workspace('pass_retirement');

-- A lost pass and the one that takes its place; what it holds moves by a ledger command.
CREATE TABLE pass_replacement (
    workspace_id uuid NOT NULL,
    old_pass_id  uuid NOT NULL,
    new_pass_id  uuid NOT NULL,
    state        text NOT NULL CHECK (state IN ('moving', 'done', 'failed')),
    attempt      integer NOT NULL DEFAULT 1,
    -- Of a transfer that the ledger refused, and what it left on the old pass.
    code         text,
    left_minor   bigint,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, old_pass_id),
    UNIQUE (workspace_id, new_pass_id),
    FOREIGN KEY (workspace_id, old_pass_id) REFERENCES pass (workspace_id, pass_id),
    FOREIGN KEY (workspace_id, new_pass_id) REFERENCES pass (workspace_id, pass_id)
);
SELECT isolate_by_workspace('pass_replacement');

-- What became of a claim code, so that asking twice gives one pass. Forgotten after some days.
CREATE TABLE claim (
    workspace_id      uuid NOT NULL REFERENCES workspace (workspace_id),
    claim_code_sha256 text NOT NULL,
    link_id           uuid NOT NULL,
    outcome           text NOT NULL,
    pass_id           uuid,
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, claim_code_sha256),
    FOREIGN KEY (workspace_id, pass_id) REFERENCES pass (workspace_id, pass_id)
);
CREATE INDEX claim_by_age ON claim (workspace_id, created_at);
CREATE INDEX claim_by_pass ON claim (workspace_id, pass_id) WHERE pass_id IS NOT NULL;
SELECT isolate_by_workspace('claim');

-- Messages that were issued, without their words: once per message and target.
CREATE TABLE issued_message (
    workspace_id uuid NOT NULL REFERENCES workspace (workspace_id),
    target_id    uuid NOT NULL,
    message_id   text NOT NULL,
    issued_at    timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, target_id, message_id)
);
CREATE INDEX issued_message_by_age ON issued_message (workspace_id, issued_at);
SELECT isolate_by_workspace('issued_message');

-- Whom a remembered answer is about, so that erasing them erases it.
ALTER TABLE idempotency ADD COLUMN subject_id uuid;
CREATE INDEX idempotency_by_subject
    ON idempotency (workspace_id, subject_id) WHERE subject_id IS NOT NULL;
