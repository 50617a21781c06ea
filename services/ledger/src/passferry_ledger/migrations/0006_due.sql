-- What time makes due is looked for workspace by workspace, in the order of time, some rows at a
-- look. The workspace stands in front here, unlike in 0003: these indexes are partial, and their
-- conditions are in no statement that looks rows up for a decision.
DROP INDEX lot_due;
CREATE INDEX lot_due ON lot (workspace_id, expires_at, lot_id)
    WHERE remaining_minor > 0 AND expires_at IS NOT NULL;
DROP INDEX hold_due;
CREATE INDEX hold_due ON hold (workspace_id, expires_at, hold_id) WHERE state = 'open';
DROP INDEX account_undated_due;
CREATE INDEX account_undated_due ON account (workspace_id, undated_expires_at, pass_id)
    WHERE undated_expires_at IS NOT NULL;
DROP INDEX account_tier_due;
CREATE INDEX account_tier_due ON account (workspace_id, tier_until, pass_id)
    WHERE tier_until IS NOT NULL;
