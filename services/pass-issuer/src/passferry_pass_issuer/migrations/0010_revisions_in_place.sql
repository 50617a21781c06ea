-- A revision changes nothing that an index holds, so that its row may stay on its page and no index
-- needs a new entry. The condition of the index before told of columns that every revision changes.
ALTER TABLE pass ADD COLUMN is_unsigned boolean
    GENERATED ALWAYS AS (is_on_apple AND signed_revision < revision) STORED;
DROP INDEX pass_unsigned;
CREATE INDEX pass_unsigned ON pass (workspace_id, pass_type_identifier, pass_id) WHERE is_unsigned;
ALTER TABLE pass SET (fillfactor = 70);
