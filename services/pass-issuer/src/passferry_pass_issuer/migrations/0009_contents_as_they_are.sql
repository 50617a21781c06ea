-- Written anew with each revision and read seldom: compressing them cost Postgres more than twice
-- what the signature itself cost.
ALTER TABLE pass
    ALTER COLUMN pass_json SET STORAGE EXTERNAL,
    ALTER COLUMN manifest SET STORAGE EXTERNAL,
    ALTER COLUMN signature SET STORAGE EXTERNAL,
    ALTER COLUMN google_object_body SET STORAGE EXTERNAL;
