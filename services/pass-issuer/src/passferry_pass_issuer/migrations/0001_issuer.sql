-- Tenants. `lookup_key_ciphertext` opens to the key under which e-mail addresses of the workspace
-- are hashed for look-up, so that a stolen table cannot be searched by address.
CREATE TABLE workspace (
    workspace_id          uuid PRIMARY KEY,
    kind                  text NOT NULL CHECK (kind IN ('platform', 'root', 'parent', 'child')),
    parent_workspace_id   uuid,
    external_id           text,
    name                  text NOT NULL,
    is_suspended          boolean NOT NULL DEFAULT false,
    limits                jsonb NOT NULL DEFAULT '{}',
    lookup_key_ciphertext bytea NOT NULL,
    revision              bigint NOT NULL DEFAULT 1,
    credentials_revision  bigint NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    CHECK ((kind = 'child') = (parent_workspace_id IS NOT NULL))
);
CREATE UNIQUE INDEX workspace_external_id
    ON workspace (parent_workspace_id, external_id) NULLS NOT DISTINCT WHERE external_id IS NOT NULL;
SELECT isolate_by_workspace('workspace');

-- Which workspaces exist, and nothing about them: a platform administrator lists them, and the
-- health check looks at the credentials of all.
CREATE TABLE workspace_index (
    workspace_id uuid PRIMARY KEY,
    created_at   timestamptz NOT NULL
);
CREATE INDEX workspace_index_by_age ON workspace_index (created_at, workspace_id);
SELECT grant_shared('workspace_index');

-- An upstream system's own names of a workspace. One name means one workspace on the platform.
CREATE TABLE workspace_business_id (
    workspace_id uuid NOT NULL REFERENCES workspace (workspace_id),
    business_id  text NOT NULL,
    PRIMARY KEY (workspace_id, business_id),
    UNIQUE (business_id)
);
SELECT isolate_by_workspace('workspace_business_id');

CREATE TABLE api_key (
    workspace_id  uuid NOT NULL REFERENCES workspace (workspace_id),
    key_id        text NOT NULL,
    secret_sha256 text NOT NULL,
    role          text NOT NULL CHECK (role IN ('viewer', 'member', 'manager', 'owner', 'administrator')),
    name          text NOT NULL DEFAULT '',
    expires_at    timestamptz,
    revoked_at    timestamptz,
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, key_id),
    UNIQUE (key_id)
);
SELECT isolate_by_workspace('api_key');

-- One image, once per workspace.
CREATE TABLE template_asset (
    workspace_id uuid NOT NULL REFERENCES workspace (workspace_id),
    sha256       text NOT NULL,
    sha1         text NOT NULL,
    content      bytea NOT NULL CHECK (length(content) <= 655360),
    is_sent      boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, sha256)
);
SELECT isolate_by_workspace('template_asset');

-- Versions of a template: at most one draft, any number published; published ones never change.
CREATE TABLE template (
    workspace_id         uuid NOT NULL REFERENCES workspace (workspace_id),
    template_id          uuid NOT NULL,
    template_version     integer NOT NULL CHECK (template_version >= 1),
    status               text NOT NULL CHECK (status IN ('draft', 'published', 'archived')),
    name                 text NOT NULL,
    platform             text NOT NULL CHECK (platform IN ('apple', 'google', 'both')),
    protocol             text NOT NULL CHECK (protocol IN ('MEMBERSHIP', 'COUPON', 'EVENT_TICKET', 'GIFT_CARD')),
    pass_type_identifier text,
    team_identifier      text,
    google_issuer_id     text,
    content              jsonb NOT NULL,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    published_at         timestamptz,
    PRIMARY KEY (workspace_id, template_id, template_version)
);
CREATE UNIQUE INDEX template_one_draft ON template (workspace_id, template_id) WHERE status = 'draft';
SELECT isolate_by_workspace('template');

CREATE TABLE template_file (
    workspace_id     uuid NOT NULL,
    template_id      uuid NOT NULL,
    template_version integer NOT NULL,
    name             text NOT NULL,
    sha256           text NOT NULL,
    PRIMARY KEY (workspace_id, template_id, template_version, name),
    FOREIGN KEY (workspace_id, template_id, template_version)
        REFERENCES template (workspace_id, template_id, template_version) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, sha256) REFERENCES template_asset (workspace_id, sha256)
);
SELECT isolate_by_workspace('template_file');

CREATE TABLE program (
    workspace_id          uuid NOT NULL REFERENCES workspace (workspace_id),
    program_id            uuid NOT NULL,
    name                  text NOT NULL,
    protocol              text NOT NULL CHECK (protocol IN ('MEMBERSHIP', 'COUPON', 'EVENT_TICKET', 'GIFT_CARD')),
    status                text NOT NULL CHECK (status IN ('active', 'suspended', 'retired')),
    template_id           uuid,
    balance_owner         text NOT NULL CHECK (balance_owner IN ('passferry', 'upstream')),
    unit                  text NOT NULL,
    unit_scale            smallint NOT NULL CHECK (unit_scale BETWEEN 0 AND 6),
    floor_minor           bigint NOT NULL DEFAULT 0,
    limits                jsonb NOT NULL DEFAULT '{}',
    rules                 jsonb NOT NULL DEFAULT '{}',
    thresholds            jsonb NOT NULL DEFAULT '[]',
    opening_balance_minor bigint NOT NULL DEFAULT 0,
    opening_minimum_minor bigint NOT NULL DEFAULT 0,
    opening_maximum_minor bigint,
    passkit               jsonb NOT NULL DEFAULT '{}',
    revision              bigint NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, program_id)
);
SELECT isolate_by_workspace('program');

CREATE TABLE signing_identity (
    workspace_id           uuid NOT NULL REFERENCES workspace (workspace_id),
    signing_identity_id    uuid NOT NULL,
    pass_type_identifier   text NOT NULL,
    team_identifier        text NOT NULL,
    certificate_pem        text NOT NULL,
    wwdr_pem               text NOT NULL,
    private_key_ciphertext bytea NOT NULL,
    fingerprint_sha256     text NOT NULL,
    has_nfc                boolean NOT NULL,
    not_after              timestamptz NOT NULL,
    is_active              boolean NOT NULL,
    created_at             timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, signing_identity_id)
);
CREATE UNIQUE INDEX signing_identity_one_active
    ON signing_identity (workspace_id, pass_type_identifier) WHERE is_active;
SELECT isolate_by_workspace('signing_identity');

CREATE TABLE google_account (
    workspace_id          uuid NOT NULL REFERENCES workspace (workspace_id),
    issuer_id             text NOT NULL,
    client_email          text NOT NULL,
    private_key_id        text NOT NULL,
    credential_ciphertext bytea NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, issuer_id)
);
SELECT isolate_by_workspace('google_account');

-- What is personal is one ciphertext: JSON of full_name, email, locale and birthday.
CREATE TABLE holder (
    workspace_id        uuid NOT NULL REFERENCES workspace (workspace_id),
    holder_id           uuid NOT NULL,
    external_id         text,
    email_hmac          bytea,
    personal_ciphertext bytea,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, holder_id)
);
CREATE UNIQUE INDEX holder_external_id ON holder (workspace_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX holder_email ON holder (workspace_id, email_hmac) WHERE email_hmac IS NOT NULL;
SELECT isolate_by_workspace('holder');

CREATE TABLE pass (
    workspace_id                    uuid NOT NULL REFERENCES workspace (workspace_id),
    pass_id                         uuid NOT NULL,
    program_id                      uuid NOT NULL,
    protocol                        text NOT NULL,
    template_id                     uuid NOT NULL,
    template_version                integer NOT NULL,
    holder_id                       uuid NOT NULL,
    external_id                     text NOT NULL,
    -- Of the request that issued it: the same request again finds its pass, another is a conflict.
    request_sha256                  text NOT NULL,
    pass_type_identifier            text,
    serial_number                   text NOT NULL,
    authentication_token_ciphertext bytea NOT NULL,
    authentication_token_sha256     text NOT NULL,
    code                            text NOT NULL,
    status                          text NOT NULL CHECK (status IN ('active', 'voided', 'expired', 'deleted')),
    status_reason                   text,
    balance_owner                   text NOT NULL CHECK (balance_owner IN ('passferry', 'upstream')),
    unit                            text NOT NULL,
    unit_scale                      smallint NOT NULL,
    balance_minor                   bigint NOT NULL,
    -- Versions compare per event type: of pass.balance_changed, of pass.redeemed, of the upstream.
    ledger_version                  bigint NOT NULL DEFAULT 0,
    redeemed_version                bigint NOT NULL DEFAULT 0,
    upstream_version                bigint NOT NULL DEFAULT 0,
    field_values                    jsonb NOT NULL DEFAULT '{}',
    expires_at                      timestamptz,
    revision                        bigint NOT NULL,
    content_sha256                  text NOT NULL,
    pass_json                       text,
    manifest                        text,
    signature                       bytea,
    signed_revision                 bigint NOT NULL DEFAULT 0,
    is_on_apple                     boolean NOT NULL DEFAULT false,
    is_on_google                    boolean NOT NULL DEFAULT false,
    google_object_id                text,
    google_object_body              jsonb,
    save_link                       text,
    save_link_signed_at             timestamptz,
    save_link_revision              bigint NOT NULL DEFAULT 0,
    causes                          jsonb NOT NULL DEFAULT '[]',
    caused_at                       timestamptz NOT NULL,
    rendered_at                     timestamptz NOT NULL,
    created_at                      timestamptz NOT NULL,
    updated_at                      timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, pass_id),
    UNIQUE (workspace_id, external_id),
    FOREIGN KEY (workspace_id, program_id) REFERENCES program (workspace_id, program_id),
    FOREIGN KEY (workspace_id, template_id, template_version)
        REFERENCES template (workspace_id, template_id, template_version),
    FOREIGN KEY (workspace_id, holder_id) REFERENCES holder (workspace_id, holder_id)
);
CREATE UNIQUE INDEX pass_serial_number
    ON pass (workspace_id, pass_type_identifier, serial_number) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX pass_code ON pass (workspace_id, program_id, code);
-- A person is a member of a program once.
CREATE UNIQUE INDEX pass_one_membership
    ON pass (workspace_id, program_id, holder_id) WHERE protocol = 'MEMBERSHIP' AND status <> 'deleted';
CREATE INDEX pass_by_age ON pass (workspace_id, created_at, pass_id);
CREATE INDEX pass_unsigned
    ON pass (workspace_id, pass_type_identifier, pass_id) WHERE is_on_apple AND signed_revision < revision;
SELECT isolate_by_workspace('pass');

-- The public link of a pass. Others know the token by its hash; the ciphertext is kept so that
-- the API can show the link again.
CREATE TABLE link (
    workspace_id     uuid NOT NULL,
    link_id          uuid NOT NULL,
    pass_id          uuid NOT NULL,
    token_ciphertext bytea NOT NULL,
    token_sha256     text NOT NULL,
    expires_at       timestamptz,
    is_revoked       boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, link_id),
    UNIQUE (workspace_id, pass_id),
    UNIQUE (token_sha256),
    FOREIGN KEY (workspace_id, pass_id) REFERENCES pass (workspace_id, pass_id)
);
SELECT isolate_by_workspace('link');

-- What a mutating HTTP call with an Idempotency-Key answered. A ciphertext, because answers hold
-- new API keys and links.
CREATE TABLE idempotency (
    workspace_id      uuid NOT NULL,
    idempotency_key   text NOT NULL,
    fingerprint       text NOT NULL,
    status            smallint NOT NULL,
    answer_ciphertext bytea NOT NULL,
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, idempotency_key)
);
CREATE INDEX idempotency_by_age ON idempotency (workspace_id, created_at);
SELECT isolate_by_workspace('idempotency');
