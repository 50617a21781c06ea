-- Anybody may write anybody's address into the public form. Such an address names its holder to
-- nobody until the shop itself says that it is theirs.
ALTER TABLE holder ADD COLUMN is_address_proven boolean NOT NULL DEFAULT true;
DROP INDEX holder_email;
CREATE INDEX holder_email ON holder (workspace_id, email_hmac, is_address_proven)
    WHERE email_hmac IS NOT NULL;
-- Of those who enrolled before, the claims that are still kept tell.
UPDATE holder SET is_address_proven = false
FROM claim JOIN pass ON pass.workspace_id = claim.workspace_id AND pass.pass_id = claim.pass_id
WHERE holder.workspace_id = pass.workspace_id AND holder.holder_id = pass.holder_id
    AND holder.external_id IS NULL;
