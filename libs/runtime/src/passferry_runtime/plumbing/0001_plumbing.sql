-- The app role and the plumbing role are named by settings of the migrating session, because
-- every service has its own.

CREATE FUNCTION app_role() RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT current_setting('passferry.app_role') $$;

CREATE FUNCTION plumbing_role() RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT current_setting('passferry.plumbing_role') $$;

-- Rows are visible exactly to transactions that name their workspace (nullif: after a
-- transaction that used SET LOCAL, the setting reads '' and not NULL).
CREATE FUNCTION isolate_by_workspace(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
    EXECUTE format(
        'CREATE POLICY workspace_isolation ON %I'
        ' USING (workspace_id = ANY (nullif(current_setting(''app.workspace_ids'', true), '''')::uuid[]))'
        ' WITH CHECK (workspace_id = ANY (nullif(current_setting(''app.workspace_ids'', true), '''')::uuid[]))',
        table_name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', table_name, app_role());
END $$;

CREATE FUNCTION isolate_append_only(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM isolate_by_workspace(table_name);
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %I FROM %I', table_name, app_role());
END $$;

-- For the few tables that belong to no workspace; say why beside the call.
CREATE FUNCTION grant_shared(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
    EXECUTE format('CREATE POLICY shared ON %I USING (true) WITH CHECK (true)', table_name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', table_name, app_role());
END $$;

CREATE FUNCTION grant_sequence(sequence_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %I TO %I', sequence_name, app_role());
END $$;

-- Tables that only the plumbing role reads and deletes; the app role may add rows of its own
-- workspaces when `app_may_insert`.
CREATE FUNCTION reserve_for_plumbing(table_name text, app_may_insert boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
    EXECUTE format('CREATE POLICY plumbing ON %I TO %I USING (true) WITH CHECK (true)',
                   table_name, plumbing_role());
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', table_name, plumbing_role());
    IF app_may_insert THEN
        EXECUTE format(
            'CREATE POLICY workspace_insert ON %I FOR INSERT TO %I'
            ' WITH CHECK (workspace_id = ANY (nullif(current_setting(''app.workspace_ids'', true), '''')::uuid[]))',
            table_name, app_role());
        EXECUTE format('GRANT INSERT ON %I TO %I', table_name, app_role());
    END IF;
END $$;

-- Identity ids are drawn while the row lock of the event's subject is held, so that id order is
-- version order within a key. The cache of the sequence must stay 1.
CREATE TABLE outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot         smallint NOT NULL CHECK (slot BETWEEN 0 AND 63),
    workspace_id uuid NOT NULL,
    topic        text NOT NULL,
    key          text NOT NULL,
    headers      text NOT NULL,
    value        bytea,
    created_at   timestamptz NOT NULL DEFAULT now()
) WITH (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
SELECT reserve_for_plumbing('outbox', true);

CREATE TABLE parked_records (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic           text NOT NULL,
    partition       integer NOT NULL,
    record_offset   bigint NOT NULL,
    lane            text NOT NULL,
    key             bytea NOT NULL,
    value           bytea,
    headers         text NOT NULL,
    timestamp_ms    bigint NOT NULL,
    reason_code     text NOT NULL,
    reason_detail   text NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    parked_at       timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    UNIQUE (topic, partition, record_offset)
);
CREATE INDEX parked_records_by_lane ON parked_records (lane, id);
SELECT reserve_for_plumbing('parked_records', false);

CREATE TABLE processed_events (
    workspace_id uuid NOT NULL,
    consumer     text NOT NULL,
    event_key    text NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, consumer, event_key)
);
SELECT isolate_by_workspace('processed_events');

CREATE TABLE audit_log (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    workspace_id uuid NOT NULL,
    actor        text NOT NULL,
    action       text NOT NULL,
    target       text NOT NULL,
    before       jsonb,
    after        jsonb,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id)
);
SELECT isolate_append_only('audit_log');
