-- Who had a pass before that was kept: now also of passes that were reissued to somebody else, and of
-- those that took the place of such a pass. What they say of whom is not known. The transfers are
-- read once more: a migration without a view of all rows did not find them.
INSERT INTO former_holder (workspace_id, holder_id, pass_id, handed_over_at)
SELECT audit_log.workspace_id, holder.holder_id, target::uuid, max(recorded_at)
FROM audit_log JOIN holder ON holder.workspace_id = audit_log.workspace_id
    AND holder.holder_id = (before ->> 'holder_id')::uuid AND holder.erased_at IS NULL
WHERE action = 'pass.transferred'
GROUP BY audit_log.workspace_id, holder.holder_id, target
ON CONFLICT (workspace_id, holder_id, pass_id) DO NOTHING;

WITH RECURSIVE follower AS (
    SELECT workspace_id, old_pass_id, new_pass_id, created_at FROM pass_replacement
    UNION ALL
    SELECT later.workspace_id, follower.old_pass_id, later.new_pass_id, later.created_at
    FROM follower JOIN pass_replacement AS later ON later.workspace_id = follower.workspace_id
        AND later.old_pass_id = follower.new_pass_id
), had AS (
    SELECT old.workspace_id, old.pass_id, old.holder_id
    FROM pass_replacement JOIN pass AS old ON old.workspace_id = pass_replacement.workspace_id
        AND old.pass_id = pass_replacement.old_pass_id
    UNION
    SELECT workspace_id, pass_id, holder_id FROM former_holder
)
INSERT INTO former_holder (workspace_id, holder_id, pass_id, handed_over_at)
SELECT had.workspace_id, had.holder_id, follower.new_pass_id, max(follower.created_at)
FROM follower
JOIN had ON had.workspace_id = follower.workspace_id AND had.pass_id = follower.old_pass_id
JOIN holder ON holder.workspace_id = had.workspace_id AND holder.holder_id = had.holder_id
    AND holder.erased_at IS NULL
JOIN pass AS given ON given.workspace_id = follower.workspace_id
    AND given.pass_id = follower.new_pass_id AND given.holder_id <> had.holder_id
GROUP BY had.workspace_id, had.holder_id, follower.new_pass_id
ON CONFLICT (workspace_id, holder_id, pass_id) DO NOTHING;
