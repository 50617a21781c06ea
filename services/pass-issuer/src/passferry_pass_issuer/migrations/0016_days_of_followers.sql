-- A pass that takes the place of a lost one was used as often, and its days are those of the first.
-- The lost one stays good until the ledger moved its balance: what it is used until then is added.
ALTER TABLE pass ADD COLUMN first_issued_at timestamptz;
ALTER TABLE pass_replacement ADD COLUMN carried_uses integer NOT NULL DEFAULT 0;
