-- How often and when last a pass was used, and when the rules of its template end it, with the
-- reason that is told then. Uses of the time before are not counted.
ALTER TABLE pass
    ADD COLUMN uses         integer NOT NULL DEFAULT 0,
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN ends_at      timestamptz,
    ADD COLUMN ends_as      text;
CREATE INDEX pass_by_end_rule ON pass (workspace_id, ends_at, pass_id)
    WHERE status = 'active' AND ends_at IS NOT NULL;
