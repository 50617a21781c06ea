-- A pass whose workspace has no signing identity has a public link and a Google object, no more.
ALTER TABLE published_pass
    ALTER COLUMN pass_type_identifier DROP NOT NULL,
    ALTER COLUMN serial_number DROP NOT NULL,
    ALTER COLUMN pass_json DROP NOT NULL,
    ALTER COLUMN manifest DROP NOT NULL,
    ALTER COLUMN token_sha256 DROP NOT NULL,
    ADD CONSTRAINT apple_part_is_whole CHECK (
        num_nulls(pass_type_identifier, serial_number, pass_json, manifest, token_sha256) IN (0, 5)
        AND (pass_json IS NOT NULL OR signature IS NULL));
