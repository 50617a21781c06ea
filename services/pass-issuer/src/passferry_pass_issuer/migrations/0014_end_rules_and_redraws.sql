-- How often and when last a pass was used, and when the rules of its template end it, with the
-- reason that is told then. Uses of the time before are not counted.
ALTER TABLE pass
    ADD COLUMN uses         integer NOT NULL DEFAULT 0,
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN ends_at      timestamptz,
    ADD COLUMN ends_as      text;
CREATE INDEX pass_by_end_rule ON pass (workspace_id, ends_at, pass_id)
    WHERE status = 'active' AND ends_at IS NOT NULL;

-- What passes show of their program is drawn again when it changes.
ALTER TABLE job DROP CONSTRAINT job_kind_check, DROP CONSTRAINT job_check;
ALTER TABLE job
    ADD CONSTRAINT job_kind_check
        CHECK (kind IN ('bulk_issue', 'bulk_change', 'rollout', 'redraw')),
    ADD CONSTRAINT job_program_check
        CHECK ((kind IN ('bulk_issue', 'redraw')) = (program_id IS NOT NULL));
CREATE UNIQUE INDEX job_one_redraw ON job (workspace_id, program_id)
    WHERE kind = 'redraw' AND state IN ('waiting', 'running', 'paused');
CREATE INDEX pass_by_program ON pass (workspace_id, program_id, pass_id);
