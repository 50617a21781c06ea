-- A pass may have several links. The first one is made with the pass; `is_extra` marks the others.
ALTER TABLE link DROP CONSTRAINT link_workspace_id_pass_id_key;
ALTER TABLE link
    ADD COLUMN is_extra boolean NOT NULL DEFAULT false,
    ADD COLUMN label    text NOT NULL DEFAULT '',
    ADD COLUMN utm      jsonb NOT NULL DEFAULT '{}',
    -- Nothing kept: the link was shown once.
    ALTER COLUMN token_ciphertext DROP NOT NULL;
CREATE UNIQUE INDEX link_one_first
    ON link (workspace_id, pass_id) WHERE NOT is_extra AND NOT is_revoked;
CREATE INDEX link_by_pass ON link (workspace_id, pass_id, link_id);

-- Every label that links of a workspace carry; the funnel counts by it, so there is a bound.
CREATE TABLE link_label (
    workspace_id uuid NOT NULL REFERENCES workspace (workspace_id),
    label        text NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, label)
);
SELECT isolate_by_workspace('link_label');

-- How far a pass came. One row for a pass, made with its first opening, download or installation;
-- devices by a digest, and no more of them than the code allows.
CREATE TABLE funnel_pass (
    workspace_id  uuid NOT NULL,
    pass_id       uuid NOT NULL,
    label         text NOT NULL DEFAULT '',
    -- Steps that this pass was counted for, such as `installed:apple`.
    steps         text[] NOT NULL DEFAULT '{}',
    apple_devices text[] NOT NULL DEFAULT '{}',
    is_on_google  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace_id, pass_id),
    FOREIGN KEY (workspace_id, pass_id) REFERENCES pass (workspace_id, pass_id) ON DELETE CASCADE
);
SELECT isolate_by_workspace('funnel_pass');

-- Counts of a day: `passes` came to the step for the first time, `events` is how often it happened.
CREATE TABLE funnel_day (
    workspace_id uuid NOT NULL,
    program_id   uuid NOT NULL,
    day          date NOT NULL,
    template_id  uuid NOT NULL,
    label        text NOT NULL,
    step         text NOT NULL,
    platform     text NOT NULL,
    passes       bigint NOT NULL DEFAULT 0,
    events       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, program_id, day, template_id, label, step, platform),
    FOREIGN KEY (workspace_id, program_id) REFERENCES program (workspace_id, program_id)
);
SELECT isolate_by_workspace('funnel_day');

-- Issued passes of a program by day.
CREATE INDEX pass_by_program_age ON pass (workspace_id, program_id, created_at);

-- With which secrets upstream systems sign what they say; at most two are live.
ALTER TABLE workspace ADD COLUMN requires_inbound_signature boolean NOT NULL DEFAULT false;
CREATE TABLE inbound_secret (
    workspace_id      uuid NOT NULL REFERENCES workspace (workspace_id),
    inbound_secret_id uuid NOT NULL,
    secret_ciphertext bytea NOT NULL,
    created_by        text NOT NULL,
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, inbound_secret_id)
);
SELECT isolate_by_workspace('inbound_secret');

-- Which template an imported layout became, so that a repeated import finds it.
CREATE TABLE imported_template (
    workspace_id  uuid NOT NULL REFERENCES workspace (workspace_id),
    source_sha256 text NOT NULL,
    template_id   uuid NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, source_sha256)
);
SELECT isolate_by_workspace('imported_template');
