-- The reissue that waits the longest for the ledger is shown to operators.
CREATE INDEX pass_replacement_moving ON pass_replacement (workspace_id, updated_at, old_pass_id)
    WHERE state = 'moving';
-- When the ledger was told of the transfer last; null for those from before: when it was ordered.
ALTER TABLE pass_replacement ADD COLUMN told_at timestamptz;

-- How many passes are left of an erasure, because their balance is on its way to somebody else: it
-- goes on when they are fewer.
ALTER TABLE holder_pages ADD COLUMN held_up integer NOT NULL DEFAULT 0;
