-- Of an erased holder, while the pass does not open: it is tried until it does.
ALTER TABLE former_holder ADD COLUMN waits_since timestamptz;
CREATE INDEX former_holder_waiting ON former_holder (workspace_id, waits_since, pass_id)
    WHERE waits_since IS NOT NULL;
