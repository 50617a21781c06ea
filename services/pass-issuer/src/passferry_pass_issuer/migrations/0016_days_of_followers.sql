-- A pass that takes the place of a lost one was used as often, and its days are those of the first.
ALTER TABLE pass ADD COLUMN first_issued_at timestamptz;
