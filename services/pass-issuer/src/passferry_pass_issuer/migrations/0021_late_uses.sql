-- Uses of a lost card that are heard after its balance has moved are looked for here.
CREATE INDEX pass_replacement_done ON pass_replacement (workspace_id, updated_at, old_pass_id)
    WHERE state = 'done';
