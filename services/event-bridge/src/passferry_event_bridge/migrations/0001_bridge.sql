CREATE TABLE sink (
    workspace_id          uuid NOT NULL,
    sink_id               text NOT NULL,
    profile               text NOT NULL,
    base_url              text NOT NULL,
    credential_ciphertext bytea NOT NULL,
    status                text NOT NULL CHECK (status IN ('active', 'stopped')),
    -- Why it was stopped, such as credential_refused; null while active.
    stopped_reason        text,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, sink_id)
);
SELECT isolate_by_workspace('sink');

-- What the events so far say of a pass: whom to name, and the traits.
CREATE TABLE known_pass (
    workspace_id   uuid NOT NULL,
    pass_id        uuid NOT NULL,
    -- Null once the holder was erased.
    holder_id      uuid,
    program_id     uuid NOT NULL,
    unit           text NOT NULL,
    unit_scale     smallint NOT NULL,
    balance_minor  bigint NOT NULL,
    ledger_version bigint NOT NULL,
    revision       bigint NOT NULL,
    status         text NOT NULL,
    expires_at     timestamptz,
    last_used_at   timestamptz,
    tier           text,
    -- Device library identifiers of the Apple devices that hold it.
    devices        text[] NOT NULL DEFAULT '{}',
    -- Installed elsewhere, such as google.
    platforms      text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace_id, pass_id)
) WITH (fillfactor = 70);
SELECT isolate_by_workspace('known_pass');

-- Events that a sink has not taken yet. The position orders those of one pass: its events are
-- handled one after another, so a later one has the larger position.
CREATE TABLE pending_event (
    workspace_id  uuid NOT NULL,
    sink_id       text NOT NULL,
    position      bigint GENERATED ALWAYS AS IDENTITY,
    event_id      text NOT NULL,
    -- The items as they are sent, as JSON; equal on every retry.
    items         text[] NOT NULL,
    -- The record as it came, for the dead letters.
    topic         text NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    timestamp_ms  bigint NOT NULL,
    key           bytea NOT NULL,
    value         bytea NOT NULL,
    headers       text NOT NULL,
    stored_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, sink_id, position),
    UNIQUE (workspace_id, sink_id, topic, partition, record_offset),
    FOREIGN KEY (workspace_id, sink_id) REFERENCES sink (workspace_id, sink_id) ON DELETE CASCADE
) WITH (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
SELECT isolate_by_workspace('pending_event');
