-- By which names erased people could come back: keyed hashes, which name nobody. What was asked for
-- before `erased_at` and is heard later makes no pass.
CREATE TABLE erased_name (
    workspace_id uuid NOT NULL REFERENCES workspace (workspace_id),
    name_hmac    bytea NOT NULL,
    erased_at    timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, name_hmac)
);
CREATE INDEX erased_name_by_age ON erased_name (workspace_id, erased_at);
SELECT isolate_by_workspace('erased_name');

-- Passes that are somebody else's now, or were made of one of theirs. `own_values` are the fields that
-- speak of the former holder, each with a keyed hash of what it says: while it says so, it is theirs.
CREATE TABLE former_holder (
    workspace_id   uuid NOT NULL,
    holder_id      uuid NOT NULL,
    pass_id        uuid NOT NULL,
    own_values     jsonb NOT NULL DEFAULT '{}',
    handed_over_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, holder_id, pass_id),
    FOREIGN KEY (workspace_id, holder_id) REFERENCES holder (workspace_id, holder_id),
    FOREIGN KEY (workspace_id, pass_id) REFERENCES pass (workspace_id, pass_id)
);
CREATE INDEX former_holder_of_pass ON former_holder (workspace_id, pass_id);
SELECT isolate_by_workspace('former_holder');

-- Of passes that changed hands before, what they say of whom is not known; whose they were is.
INSERT INTO former_holder (workspace_id, holder_id, pass_id, handed_over_at)
SELECT workspace_id, (before ->> 'holder_id')::uuid, target::uuid, max(recorded_at)
FROM audit_log WHERE action = 'pass.transferred'
GROUP BY workspace_id, before ->> 'holder_id', target;
