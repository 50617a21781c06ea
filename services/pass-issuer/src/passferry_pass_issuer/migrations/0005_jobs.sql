-- Work in the background: a file of passes to issue or to change, or passes to draw again for a new
-- version of their template. `changed`, `unchanged` and `refused` add up to what is done; `place` is where a
-- rollout goes on, and `page_rows` how many it takes next after a step that failed.
CREATE TABLE job (
    workspace_id     uuid NOT NULL REFERENCES workspace (workspace_id),
    job_id           uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('bulk_issue', 'bulk_change', 'rollout')),
    state            text NOT NULL CHECK (state IN
        ('receiving', 'waiting', 'running', 'paused', 'done', 'cancelled', 'failed')),
    job_key          text,
    request_sha256   text,
    program_id       uuid,
    action           text CHECK (action IN ('update', 'void', 'message')),
    template_id      uuid,
    template_version integer,
    is_dry_run       boolean NOT NULL DEFAULT false,
    includes_ended   boolean NOT NULL DEFAULT false,
    max_per_second   integer NOT NULL CHECK (max_per_second BETWEEN 1 AND 10000),
    place            text NOT NULL DEFAULT '',
    page_rows        integer,
    accepted         bigint NOT NULL DEFAULT 0,
    changed          bigint NOT NULL DEFAULT 0,
    unchanged        bigint NOT NULL DEFAULT 0,
    refused          bigint NOT NULL DEFAULT 0,
    reported_percent smallint,
    waits_for        text,
    failure_code     text,
    created_by       text NOT NULL,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    finished_at      timestamptz,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, job_id),
    CHECK ((kind = 'bulk_issue') = (program_id IS NOT NULL)),
    CHECK ((kind = 'bulk_change') = (action IS NOT NULL)),
    CHECK ((kind = 'rollout') = (template_id IS NOT NULL AND template_version IS NOT NULL))
);
CREATE UNIQUE INDEX job_by_key ON job (workspace_id, kind, job_key) WHERE job_key IS NOT NULL;
CREATE UNIQUE INDEX job_one_rollout ON job (workspace_id, template_id)
    WHERE kind = 'rollout' AND state IN ('waiting', 'running', 'paused');
CREATE INDEX job_by_age ON job (workspace_id, kind, created_at, job_id);
SELECT isolate_by_workspace('job');

-- Which jobs are due, and nothing about them: any replica takes the next one of any workspace.
CREATE TABLE job_queue (
    job_id       uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    due_at       timestamptz NOT NULL,
    leased_by    uuid,
    leased_until timestamptz
);
CREATE INDEX job_queue_by_due ON job_queue (due_at, job_id);
SELECT grant_shared('job_queue');

-- Rows of a file that are not worked off yet. One ciphertext for some rows, because they are personal;
-- numbered by the first of them.
CREATE TABLE job_chunk (
    workspace_id       uuid NOT NULL,
    job_id             uuid NOT NULL,
    first_row          bigint NOT NULL,
    row_count          integer NOT NULL,
    content_ciphertext bytea NOT NULL,
    PRIMARY KEY (workspace_id, job_id, first_row),
    FOREIGN KEY (workspace_id, job_id) REFERENCES job (workspace_id, job_id)
);
-- Ciphertext does not get smaller.
ALTER TABLE job_chunk ALTER COLUMN content_ciphertext SET STORAGE EXTERNAL;
SELECT isolate_by_workspace('job_chunk');

-- What came of each row of a file, and of each pass that a rollout could not draw.
CREATE TABLE job_result (
    workspace_id uuid NOT NULL,
    job_id       uuid NOT NULL,
    number       bigint NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('changed', 'unchanged', 'refused')),
    pass_id      uuid,
    field        text,
    code         text,
    detail       text,
    PRIMARY KEY (workspace_id, job_id, number),
    FOREIGN KEY (workspace_id, job_id) REFERENCES job (workspace_id, job_id)
);
CREATE INDEX job_result_refused ON job_result (workspace_id, job_id, number)
    WHERE outcome = 'refused';
CREATE INDEX job_result_of_pass ON job_result (workspace_id, job_id, pass_id)
    WHERE outcome = 'refused' AND pass_id IS NOT NULL;
SELECT isolate_by_workspace('job_result');

-- The passes of a template, page by page.
CREATE INDEX pass_by_template ON pass (workspace_id, template_id, pass_id);

-- A file fills tables that were nearly empty when their plans were made; until they are analysed,
-- each row is looked for among all of them. The app role owns no table and can not say ANALYZE.
CREATE FUNCTION refresh_pass_statistics() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT SET lock_timeout = '1s' AS $$
BEGIN
    ANALYZE pass, link, holder, job_chunk, job_result;
END $$;
REVOKE EXECUTE ON FUNCTION refresh_pass_statistics() FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION refresh_pass_statistics() TO %I', app_role());
END $$;
