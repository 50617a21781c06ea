"""SQL of the published and the waiting revisions."""

from __future__ import annotations

COMPLETE_TEMPLATES = """
SELECT workspace_id, template_id, template_version FROM template
WHERE is_complete AND (workspace_id, template_id, template_version) IN
    (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]))
"""

#: Locked first of all: a template that becomes complete publishes waiting revisions beside the
#: consumer, and of two that store the same pass the second must see what the first did.
WAITING = """
SELECT workspace_id, pass_id, revision, payload FROM waiting_revision
WHERE (workspace_id, pass_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY workspace_id, pass_id
FOR UPDATE
"""

CURRENT = """
SELECT workspace_id, pass_id, revision, signature IS NOT NULL AS is_signed, pass_json, manifest,
    token_sha256, update_tag, last_modified, recent_contents,
    EXISTS (SELECT 1 FROM device_registration AS registration
        WHERE registration.workspace_id = published_pass.workspace_id
            AND registration.pass_id = published_pass.pass_id) AS has_devices
FROM published_pass
WHERE (workspace_id, pass_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY workspace_id, pass_id
FOR NO KEY UPDATE
"""

#: One bump per batch and pass type; the row stays locked until the commit.
BUMP_COUNTER = """
INSERT INTO update_counter (workspace_id, pass_type_identifier, value) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, pass_type_identifier)
    DO UPDATE SET value = update_counter.value + excluded.value
RETURNING value
"""

PUBLISH = """
INSERT INTO published_pass (workspace_id, pass_id, pass_type_identifier, serial_number, revision,
    status, template_id, template_version, pass_json, manifest, signature, token_sha256,
    update_tag, last_modified, recent_contents, google_object_id, save_link, save_link_signed_at,
    published_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[],
    $6::text[], $7::uuid[], $8::bigint[], $9::text[], $10::text[], $11::bytea[], $12::bytea[],
    $13::bigint[], $14::timestamptz[], $15::jsonb[], $16::text[], $17::text[],
    $18::timestamptz[], $19::timestamptz[])
ON CONFLICT (workspace_id, pass_id) DO UPDATE SET
    pass_type_identifier = excluded.pass_type_identifier, serial_number = excluded.serial_number,
    revision = excluded.revision, status = excluded.status, template_id = excluded.template_id,
    template_version = excluded.template_version, pass_json = excluded.pass_json,
    manifest = excluded.manifest, signature = excluded.signature,
    token_sha256 = excluded.token_sha256, update_tag = excluded.update_tag,
    last_modified = excluded.last_modified, recent_contents = excluded.recent_contents,
    google_object_id = coalesce(excluded.google_object_id, published_pass.google_object_id),
    save_link = coalesce(excluded.save_link, published_pass.save_link),
    save_link_signed_at =
        coalesce(excluded.save_link_signed_at, published_pass.save_link_signed_at),
    published_at = excluded.published_at
"""

ENRICH = """
UPDATE published_pass SET signature = coalesce(given.signature, published_pass.signature),
    google_object_id = coalesce(given.google_object_id, published_pass.google_object_id),
    save_link = coalesce(given.save_link, published_pass.save_link),
    save_link_signed_at = coalesce(given.save_link_signed_at, published_pass.save_link_signed_at)
FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::timestamptz[])
    AS given(workspace_id, pass_id, signature, google_object_id, save_link, save_link_signed_at)
WHERE published_pass.workspace_id = given.workspace_id AND published_pass.pass_id = given.pass_id
"""

WAIT = """
INSERT INTO waiting_revision
    (workspace_id, pass_id, revision, template_id, template_version, waits_for, payload)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[], $6::text[],
    $7::text[])
ON CONFLICT (workspace_id, pass_id) DO UPDATE SET revision = excluded.revision,
    template_id = excluded.template_id, template_version = excluded.template_version,
    waits_for = excluded.waits_for, payload = excluded.payload, stored_at = now()
WHERE waiting_revision.revision <= excluded.revision
"""

STOP_WAITING = """
DELETE FROM waiting_revision USING unnest($1::uuid[], $2::uuid[], $3::bigint[])
    AS done(workspace_id, pass_id, revision)
WHERE waiting_revision.workspace_id = done.workspace_id
    AND waiting_revision.pass_id = done.pass_id AND waiting_revision.revision <= done.revision
"""

WAITING_FOR_TEMPLATE = """
SELECT pass_id, payload FROM waiting_revision
WHERE workspace_id = $1 AND template_id = $2 AND template_version = $3 AND waits_for = 'template'
    AND pass_id > $4
ORDER BY pass_id LIMIT $5
"""

#: Devices of whoever had the pass before: what they hold as its token opens nothing any more.
DROP_DEVICES = """
DELETE FROM device_registration USING unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
WHERE device_registration.workspace_id = given.workspace_id
    AND device_registration.pass_id = given.pass_id
RETURNING device_registration.workspace_id, device_registration.pass_id,
    device_registration.pass_type_identifier, device_registration.serial_number,
    device_registration.device_library_identifier, device_registration.push_token_sha256
"""

DEVICES = """
SELECT workspace_id, pass_id, pass_type_identifier, serial_number, device_library_identifier,
    push_token_ciphertext, push_token_sha256
FROM device_registration
WHERE (workspace_id, pass_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY workspace_id, pass_id, device_library_identifier
"""
