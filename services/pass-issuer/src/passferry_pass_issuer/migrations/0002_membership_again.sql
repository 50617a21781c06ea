-- A member whose pass ended may get another: only an active one stands in its way.
DROP INDEX pass_one_membership;
CREATE UNIQUE INDEX pass_one_membership
    ON pass (workspace_id, program_id, holder_id) WHERE protocol = 'MEMBERSHIP' AND status = 'active';
