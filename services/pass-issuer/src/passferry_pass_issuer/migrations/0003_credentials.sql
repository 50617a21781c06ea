-- An identity that another took over from is kept until its certificate ends.
ALTER TABLE signing_identity ADD COLUMN retired_at timestamptz;
UPDATE signing_identity SET retired_at = created_at WHERE NOT is_active;
CREATE INDEX signing_identity_by_end ON signing_identity (workspace_id, not_after);

-- Keys that were made here and wait for their certificate. The key leaves this table with the
-- completion; the row stays a while, so that a repetition finds what came of it.
CREATE TABLE signing_request (
    workspace_id           uuid NOT NULL REFERENCES workspace (workspace_id),
    signing_request_id     uuid NOT NULL,
    pass_type_identifier   text NOT NULL,
    key_kind               text NOT NULL CHECK (key_kind IN ('rsa2048', 'p256')),
    request_pem            text NOT NULL,
    private_key_ciphertext bytea,
    signing_identity_id    uuid,
    fingerprint_sha256     text,
    created_at             timestamptz NOT NULL,
    expires_at             timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, signing_request_id),
    CHECK ((private_key_ciphertext IS NULL) = (signing_identity_id IS NOT NULL))
);
CREATE INDEX signing_request_by_end ON signing_request (workspace_id, expires_at);
SELECT isolate_by_workspace('signing_request');

-- Keys of Apple's push service; they serve pass types of their own team only.
CREATE TABLE provider_key (
    workspace_id           uuid NOT NULL REFERENCES workspace (workspace_id),
    team_identifier        text NOT NULL,
    key_id                 text NOT NULL,
    private_key_ciphertext bytea NOT NULL,
    is_active              boolean NOT NULL,
    created_at             timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, team_identifier, key_id)
);
CREATE UNIQUE INDEX provider_key_one_active
    ON provider_key (workspace_id, team_identifier) WHERE is_active;
SELECT isolate_by_workspace('provider_key');

-- Two keys of a service account may live at once: the one in use, and the one before or after it.
ALTER TABLE google_account ADD COLUMN is_active boolean NOT NULL DEFAULT true;
ALTER TABLE google_account DROP CONSTRAINT google_account_pkey;
ALTER TABLE google_account ADD PRIMARY KEY (workspace_id, issuer_id, private_key_id);
CREATE UNIQUE INDEX google_account_one_active
    ON google_account (workspace_id, issuer_id) WHERE is_active;

-- Which ends of certificates were told, once for each threshold.
CREATE TABLE expiry_notice (
    workspace_id        uuid NOT NULL REFERENCES workspace (workspace_id),
    signing_identity_id uuid NOT NULL,
    threshold_days      smallint NOT NULL,
    told_at             timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, signing_identity_id, threshold_days),
    FOREIGN KEY (workspace_id, signing_identity_id)
        REFERENCES signing_identity (workspace_id, signing_identity_id) ON DELETE CASCADE
);
SELECT isolate_by_workspace('expiry_notice');
