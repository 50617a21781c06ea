-- A save link that names an object is signed only once the notifier has said that Google has it.
-- Passes that are on Google already are told of with their next change.
ALTER TABLE pass ADD COLUMN inserted_google_object_id text;
-- The level that the ledger told last: a template may have a Google class for each.
ALTER TABLE pass ADD COLUMN tier text;
