-- The reissue that waits the longest for the ledger is shown to operators.
CREATE INDEX pass_replacement_moving ON pass_replacement (workspace_id, updated_at, old_pass_id)
    WHERE state = 'moving';
