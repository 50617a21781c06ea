CREATE TABLE template (
    workspace_id     uuid NOT NULL,
    template_id      uuid NOT NULL,
    template_version bigint NOT NULL,
    name             text NOT NULL,
    -- All files have arrived. Revisions of an incomplete template wait.
    is_complete      boolean NOT NULL DEFAULT false,
    published_at     timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, template_id, template_version)
);
SELECT isolate_by_workspace('template');

CREATE TABLE template_file (
    workspace_id     uuid NOT NULL,
    template_id      uuid NOT NULL,
    template_version bigint NOT NULL,
    file_name        text NOT NULL,
    sha256           text NOT NULL,
    PRIMARY KEY (workspace_id, template_id, template_version, file_name)
);
CREATE INDEX template_file_by_digest ON template_file (workspace_id, sha256);
SELECT isolate_by_workspace('template_file');

CREATE TABLE asset (
    workspace_id uuid NOT NULL,
    sha256       text NOT NULL,
    content      bytea NOT NULL,
    PRIMARY KEY (workspace_id, sha256)
);
SELECT isolate_by_workspace('asset');

-- The revision of a pass that can be fetched now.
CREATE TABLE published_pass (
    workspace_id         uuid NOT NULL,
    pass_id              uuid NOT NULL,
    pass_type_identifier text NOT NULL,
    serial_number        text NOT NULL,
    revision             bigint NOT NULL,
    status               text NOT NULL,
    template_id          uuid NOT NULL,
    template_version     bigint NOT NULL,
    pass_json            text NOT NULL,
    manifest             text NOT NULL,
    signature            bytea,
    token_sha256         bytea NOT NULL,
    -- Order of publication within (workspace, pass type); what devices echo as their tag.
    update_tag           bigint NOT NULL,
    last_modified        timestamptz NOT NULL,
    -- Recent dates with the digest of what was given out under them, newest first: a device that
    -- missed a change and its reversal holds what is current, and is told so.
    recent_contents      jsonb NOT NULL,
    google_object_id     text,
    save_link            text,
    save_link_signed_at  timestamptz,
    published_at         timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, pass_id),
    UNIQUE (workspace_id, pass_type_identifier, serial_number)
) WITH (fillfactor = 70);
CREATE INDEX published_pass_by_google_object ON published_pass (workspace_id, google_object_id);
SELECT isolate_by_workspace('published_pass');

-- The newest revision of a pass that cannot be published yet, as it came.
CREATE TABLE waiting_revision (
    workspace_id     uuid NOT NULL,
    pass_id          uuid NOT NULL,
    revision         bigint NOT NULL,
    template_id      uuid NOT NULL,
    template_version bigint NOT NULL,
    waits_for        text NOT NULL CHECK (waits_for IN ('template', 'signature')),
    payload          text NOT NULL,
    stored_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, pass_id)
);
CREATE INDEX waiting_revision_by_template
    ON waiting_revision (workspace_id, template_id, template_version) WHERE waits_for = 'template';
SELECT isolate_by_workspace('waiting_revision');

-- One row per (workspace, pass type): its lock makes tag order commit order, so that a device
-- that was given a tag can never miss a change that commits later with a smaller one.
CREATE TABLE update_counter (
    workspace_id         uuid NOT NULL,
    pass_type_identifier text NOT NULL,
    value                bigint NOT NULL,
    PRIMARY KEY (workspace_id, pass_type_identifier)
) WITH (fillfactor = 50);
SELECT isolate_by_workspace('update_counter');

CREATE TABLE device_registration (
    workspace_id              uuid NOT NULL,
    pass_type_identifier      text NOT NULL,
    serial_number             text NOT NULL,
    device_library_identifier text NOT NULL,
    pass_id                   uuid NOT NULL,
    push_token_ciphertext     bytea NOT NULL,
    push_token_sha256         text NOT NULL,
    registered_at             timestamptz NOT NULL,
    updated_at                timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, pass_type_identifier, serial_number, device_library_identifier),
    FOREIGN KEY (workspace_id, pass_id) REFERENCES published_pass (workspace_id, pass_id)
        ON DELETE CASCADE
);
CREATE INDEX device_registration_by_device
    ON device_registration (workspace_id, pass_type_identifier, device_library_identifier);
CREATE INDEX device_registration_by_pass ON device_registration (workspace_id, pass_id);
CREATE INDEX device_registration_by_token ON device_registration (workspace_id, push_token_sha256);
SELECT isolate_by_workspace('device_registration');

CREATE TABLE link (
    workspace_id uuid NOT NULL,
    link_id      uuid NOT NULL,
    token_sha256 text NOT NULL,
    pass_id      uuid,
    expires_at   timestamptz,
    revoked      boolean NOT NULL,
    PRIMARY KEY (workspace_id, link_id)
);
CREATE INDEX link_by_token ON link (workspace_id, token_sha256);
SELECT isolate_by_workspace('link');

CREATE TABLE device_log (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    workspace_id uuid NOT NULL,
    line        text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id)
);
SELECT isolate_by_workspace('device_log');

CREATE TABLE callback_nonce (
    workspace_id uuid NOT NULL,
    nonce        text NOT NULL,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, nonce)
);
SELECT isolate_by_workspace('callback_nonce');
