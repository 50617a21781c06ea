-- Ids of workspaces that ever had a delivery: how the sender finds work without naming workspaces
-- one does not know. Holds nothing else, therefore shared.
CREATE TABLE active_workspace (
    workspace_id uuid PRIMARY KEY
);
SELECT grant_shared('active_workspace');

-- The last revision of each pass that can be fetched.
CREATE TABLE published_pass (
    workspace_id         uuid NOT NULL,
    pass_id              uuid NOT NULL,
    pass_type_identifier text NOT NULL,
    revision             bigint NOT NULL,
    published_at         timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, pass_id)
) WITH (fillfactor = 70);
SELECT isolate_by_workspace('published_pass');

CREATE TABLE device_registration (
    workspace_id              uuid NOT NULL,
    pass_id                   uuid NOT NULL,
    device_library_identifier text NOT NULL,
    pass_type_identifier      text NOT NULL,
    push_token_ciphertext     bytea NOT NULL,
    push_token_sha256         text NOT NULL,
    registered_at             timestamptz NOT NULL,
    -- Times in a row that APNs called the token bad.
    strikes                   smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, pass_id, device_library_identifier)
);
CREATE INDEX device_registration_by_token ON device_registration (workspace_id, push_token_sha256);
CREATE INDEX device_registration_struck
    ON device_registration (workspace_id, push_token_sha256) WHERE strikes > 0;
SELECT isolate_by_workspace('device_registration');

-- Bringing one revision of a pass, or one message, to one target.
CREATE TABLE delivery (
    workspace_id         uuid NOT NULL,
    delivery_id          uuid NOT NULL,
    pass_id              uuid NOT NULL,
    channel              text NOT NULL CHECK (channel IN ('apple_wallet', 'google_wallet')),
    -- A device library identifier, or a Google object id.
    target               text NOT NULL,
    pass_type_identifier text,
    push_token_sha256    text,
    revision             bigint NOT NULL,
    notification_type    text NOT NULL,
    cause_type           text NOT NULL,
    state                text NOT NULL CHECK (state IN ('pending', 'delivered', 'dropped', 'failed')),
    is_silent            boolean NOT NULL DEFAULT false,
    attempts             integer NOT NULL DEFAULT 0,
    -- Of a pending one. Whoever takes it moves this on first, so that it is also his lease.
    next_attempt_at      timestamptz NOT NULL,
    reason               text,
    caused_at            timestamptz NOT NULL,
    created_at           timestamptz NOT NULL,
    completed_at         timestamptz,
    PRIMARY KEY (workspace_id, delivery_id)
) WITH (fillfactor = 80);
-- A newer revision takes the place of one that still waits.
CREATE UNIQUE INDEX delivery_open ON delivery (workspace_id, channel, pass_id, target)
    WHERE state = 'pending';
CREATE INDEX delivery_due ON delivery (workspace_id, channel, next_attempt_at)
    WHERE state = 'pending';
CREATE INDEX delivery_by_pass ON delivery (workspace_id, pass_id, delivery_id);
CREATE INDEX delivery_completed ON delivery (workspace_id, completed_at)
    WHERE state <> 'pending';
SELECT isolate_by_workspace('delivery');

CREATE TABLE google_object (
    workspace_id    uuid NOT NULL,
    pass_id         uuid NOT NULL,
    issuer_id       text NOT NULL,
    vertical        text NOT NULL,
    class_id        text NOT NULL,
    object_id       text NOT NULL,
    revision        bigint NOT NULL,
    body            text NOT NULL,
    body_sha256     text NOT NULL,
    -- Of the body that Google has; absent until it was inserted.
    synced_sha256   text,
    has_users       boolean,
    PRIMARY KEY (workspace_id, pass_id)
) WITH (fillfactor = 70);
SELECT isolate_by_workspace('google_object');

CREATE TABLE google_class (
    workspace_id     uuid NOT NULL,
    class_id         text NOT NULL,
    issuer_id        text NOT NULL,
    vertical         text NOT NULL,
    template_version bigint NOT NULL,
    body             text NOT NULL,
    body_sha256      text NOT NULL,
    synced_sha256    text,
    PRIMARY KEY (workspace_id, class_id)
);
SELECT isolate_by_workspace('google_class');
