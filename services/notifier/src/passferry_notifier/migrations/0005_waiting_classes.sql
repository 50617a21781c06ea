-- Of a class that Google does not have for want of a credential that works: why, how often it was
-- tried, and when it is tried next, which is also the lease of whoever took it. Where the workspace
-- has no account of Google there is no next time before it has one.
ALTER TABLE google_class ADD COLUMN waits_for text;
ALTER TABLE google_class ADD COLUMN attempts integer NOT NULL DEFAULT 0;
ALTER TABLE google_class ADD COLUMN next_attempt_at timestamptz;
ALTER TABLE google_class ADD CHECK (next_attempt_at IS NULL OR waits_for IS NOT NULL);
CREATE INDEX google_class_waiting ON google_class (workspace_id, next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;

-- Nobody noted why those before were not written: they are tried once, and then it is known.
UPDATE google_class SET waits_for = 'not_written', next_attempt_at = now()
WHERE synced_sha256 IS DISTINCT FROM body_sha256;
INSERT INTO active_workspace (workspace_id)
SELECT DISTINCT workspace_id FROM google_class WHERE next_attempt_at IS NOT NULL
ON CONFLICT DO NOTHING;
