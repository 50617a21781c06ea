-- A batch of commands is decided between these two: the first locks what it is about and tells how
-- it stands, the second writes what was decided. Both are called in one transaction.
--
-- Everybody takes locks in one order: accounts by their ids, then idempotency keys, then references.
-- A key or reference that another batch wrote meanwhile fails the call with unique_violation, and
-- asking again finds it.
--
-- Workspaces are compared by IS NOT DISTINCT FROM, which no index serves: see 0003. For the same
-- reason nothing but one index lookup per row is allowed: what looks cheaper is so only for as long
-- as the tables are as small as when the plan was made.

-- One row per command, and one more (is_other) for the second account that it is about: the
-- receiver of a transfer, or the other pass of an entry that is to be reversed.
CREATE FUNCTION lock_accounts_v1(
    p_workspace_ids uuid[],
    p_pass_ids uuid[],
    p_external_ids text[],
    p_codes text[],
    p_to_pass_ids uuid[],
    p_to_external_ids text[],
    p_reverses uuid[],
    p_reverses_references text[],
    p_keys text[],
    p_references text[]
) RETURNS TABLE (
    place              integer,
    is_other           boolean,
    account_id         bigint,
    pass_id            uuid,
    external_id        text,
    code               text,
    program_id         uuid,
    program_revision   bigint,
    unit               text,
    unit_scale         smallint,
    balance_owner      text,
    status             text,
    closed_reason      text,
    balance_minor      bigint,
    held_minor         bigint,
    open_holds         integer,
    version            bigint,
    counted_on         date,
    day_earned_minor   bigint,
    day_redeemed_minor bigint,
    full_minor         bigint,
    lots_minor         bigint,
    undated_expires_at timestamptz,
    tier               text,
    tier_earned_minor  bigint,
    tier_until         timestamptz,
    is_checked_in      boolean,
    recorded_at        timestamptz,
    reversed_entry_id  uuid,
    referenced_entry_id uuid,
    stored_fingerprint bytea,
    stored_account_id  bigint,
    stored_code        text,
    stored_kind        text,
    stored_entry_id    uuid,
    stored_version     bigint,
    stored_previous    bigint,
    stored_balance     bigint,
    stored_available   bigint,
    stored_held        bigint,
    stored_exhausted   boolean,
    stored_recorded_at timestamptz,
    stored_details     text
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_bitmapscan = off
SET enable_material = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
    c_max_commands constant integer := 1000;
    v_count integer := coalesce(cardinality(p_workspace_ids), 0);
    v_accounts bigint[];
    v_others bigint[] := array_fill(NULL::bigint, ARRAY[v_count]);
    v_reversed uuid[] := array_fill(NULL::uuid, ARRAY[v_count]);
BEGIN
    IF v_count > c_max_commands THEN
        RAISE EXCEPTION 'a batch has at most % commands', c_max_commands;
    END IF;

    -- A command that was given before is about the pass that it was about then, whoever has the
    -- name now. Of several passes that show one code it is the open one, else the newest.
    SELECT array_agg(
               coalesce(by_pass.account_id, stored.account_id, by_external.account_id)
               ORDER BY given.position)
    INTO v_accounts
    FROM unnest(p_workspace_ids, p_pass_ids, p_external_ids, p_keys)
        WITH ORDINALITY AS given(workspace_id, pass_id, external_id, key, position)
    LEFT JOIN account AS by_pass
        ON by_pass.pass_id = given.pass_id
        AND by_pass.workspace_id IS NOT DISTINCT FROM given.workspace_id
    LEFT JOIN idempotency_result AS stored
        ON given.pass_id IS NULL AND stored.idempotency_key = given.key
        AND stored.workspace_id IS NOT DISTINCT FROM given.workspace_id
    LEFT JOIN account AS by_external
        ON given.pass_id IS NULL AND by_external.external_id = given.external_id
        AND by_external.workspace_id IS NOT DISTINCT FROM given.workspace_id;

    IF array_remove(p_codes, NULL) <> '{}' THEN
        SELECT array_agg(coalesce(given.account_id, by_code.account_id) ORDER BY given.position)
        INTO v_accounts
        FROM unnest(p_workspace_ids, v_accounts, p_codes, p_pass_ids, p_external_ids)
            WITH ORDINALITY
            AS given(workspace_id, account_id, code, pass_id, external_id, position)
        LEFT JOIN LATERAL (
            SELECT account.account_id FROM account
            WHERE account.code = given.code AND given.pass_id IS NULL
                AND given.external_id IS NULL
                AND account.workspace_id IS NOT DISTINCT FROM given.workspace_id
            ORDER BY account.status = 'open' DESC, account.account_id DESC LIMIT 1
        ) AS by_code ON true;
    END IF;

    IF array_remove(p_to_pass_ids, NULL) <> '{}' OR array_remove(p_to_external_ids, NULL) <> '{}'
    THEN
        SELECT array_agg(coalesce(by_pass.account_id, by_external.account_id)
                         ORDER BY given.position)
        INTO v_others
        FROM unnest(p_workspace_ids, p_to_pass_ids, p_to_external_ids)
            WITH ORDINALITY AS given(workspace_id, pass_id, external_id, position)
        LEFT JOIN account AS by_pass
            ON by_pass.pass_id = given.pass_id
            AND by_pass.workspace_id IS NOT DISTINCT FROM given.workspace_id
        LEFT JOIN account AS by_external
            ON given.pass_id IS NULL AND by_external.external_id = given.external_id
            AND by_external.workspace_id IS NOT DISTINCT FROM given.workspace_id;
    END IF;

    IF array_remove(p_reverses, NULL) <> '{}' OR array_remove(p_reverses_references, NULL) <> '{}'
    THEN
        SELECT array_agg(coalesce(by_id.entry_id, by_reference.entry_id) ORDER BY given.position),
               array_agg(coalesce(given.other_id, (
                   SELECT min(posting.account_id) FROM posting
                   WHERE posting.entry_id = coalesce(by_id.entry_id, by_reference.entry_id)
                       AND posting.version IS NOT NULL AND posting.account_id <> given.account_id
               )) ORDER BY given.position)
        INTO v_reversed, v_others
        FROM unnest(p_workspace_ids, v_accounts, v_others, p_reverses, p_reverses_references)
            WITH ORDINALITY
            AS given(workspace_id, account_id, other_id, reverses, reference, position)
        LEFT JOIN entry AS by_id
            ON by_id.entry_id = given.reverses
            AND by_id.workspace_id IS NOT DISTINCT FROM given.workspace_id
        LEFT JOIN entry AS by_reference
            ON given.reverses IS NULL AND by_reference.reference = given.reference
            AND by_reference.workspace_id IS NOT DISTINCT FROM given.workspace_id;
    END IF;

    PERFORM 1 FROM account WHERE account.account_id = ANY (v_accounts || v_others)
    ORDER BY account.account_id FOR NO KEY UPDATE;

    -- This statement's snapshot is newer than the locks, so what it reads is final.
    RETURN QUERY
    SELECT given.place::integer, given.is_other, account.account_id, account.pass_id,
           account.external_id, account.code, account.program_id, program.revision, account.unit,
           account.unit_scale, account.balance_owner, account.status, account.closed_reason,
           account.balance_minor, account.held_minor, account.open_holds, account.version,
           account.counted_on, account.day_earned_minor, account.day_redeemed_minor,
           account.full_minor, account.lots_minor, account.undated_expires_at, account.tier,
           account.tier_earned_minor, account.tier_until, account.is_checked_in,
           account.recorded_at, given.reversed_entry_id, referenced.entry_id,
           stored.fingerprint, stored.account_id, stored.code, stored.kind, stored.entry_id,
           stored.version, stored.previous_balance_minor, stored.balance_minor,
           stored.available_minor, stored.held_minor, stored.is_exhausted, stored.recorded_at,
           stored.details::text
    FROM (
        SELECT own.place, false AS is_other, own.workspace_id, own.account_id, own.key,
               own.reference, own.reversed_entry_id
        FROM unnest(p_workspace_ids, v_accounts, p_keys, p_references, v_reversed)
            WITH ORDINALITY
            AS own(workspace_id, account_id, key, reference, reversed_entry_id, place)
        UNION ALL
        SELECT other.place, true, other.workspace_id, other.account_id, NULL, NULL, NULL
        FROM unnest(p_workspace_ids, v_others) WITH ORDINALITY
            AS other(workspace_id, account_id, place)
        WHERE other.account_id IS NOT NULL
    ) AS given
    LEFT JOIN account ON account.account_id = given.account_id
    LEFT JOIN program
        ON program.program_id = account.program_id
        AND program.workspace_id IS NOT DISTINCT FROM account.workspace_id
    LEFT JOIN idempotency_result AS stored
        ON stored.idempotency_key = given.key
        AND stored.workspace_id IS NOT DISTINCT FROM given.workspace_id
    LEFT JOIN entry AS referenced
        ON referenced.reference = given.reference
        AND referenced.workspace_id IS NOT DISTINCT FROM given.workspace_id;
END $$;

-- Writes what was decided about locked accounts: every array of a table has one element per row.
CREATE FUNCTION write_entries_v1(
    p_now timestamptz,
    r_workspace_ids uuid[],
    r_keys text[],
    r_fingerprints bytea[],
    r_account_ids bigint[],
    r_codes text[],
    r_commands text[],
    r_kinds text[],
    r_entry_ids uuid[],
    r_versions bigint[],
    r_previous bigint[],
    r_balances bigint[],
    r_available bigint[],
    r_held bigint[],
    r_exhausted boolean[],
    r_recorded_at timestamptz[],
    r_recorded_by text[],
    r_details text[],
    e_workspace_ids uuid[],
    e_entry_ids uuid[],
    e_kinds text[],
    e_references text[],
    e_reasons text[],
    e_merchant_ids text[],
    e_merchant_names text[],
    e_locations text[],
    e_terminals text[],
    e_recorded_by text[],
    e_occurred_at timestamptz[],
    e_recorded_at timestamptz[],
    e_reverses uuid[],
    e_hold_ids uuid[],
    e_purchases bigint[],
    e_purchase_units text[],
    p_workspace_ids uuid[],
    p_entry_ids uuid[],
    p_account_ids bigint[],
    p_amounts bigint[],
    p_units text[],
    p_versions bigint[],
    p_balances bigint[],
    p_held_changes bigint[],
    p_held bigint[],
    a_account_ids bigint[],
    a_balances bigint[],
    a_held bigint[],
    a_open_holds integer[],
    a_versions bigint[],
    a_counted_on date[],
    a_day_earned bigint[],
    a_day_redeemed bigint[],
    a_full bigint[],
    a_lots bigint[],
    a_undated_expires_at timestamptz[],
    a_tiers text[],
    a_tier_earned bigint[],
    a_tier_until timestamptz[],
    a_checked_in boolean[],
    a_recorded_at timestamptz[],
    a_closed_reasons text[]
) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    INSERT INTO idempotency_result (
        workspace_id, idempotency_key, fingerprint, account_id, code, command, kind, entry_id,
        version, previous_balance_minor, balance_minor, available_minor, held_minor,
        is_exhausted, recorded_at, recorded_by, details)
    SELECT workspace_id, key, fingerprint, account_id, code, command, kind, entry_id, version,
           previous, balance, available, held, exhausted, recorded_at, recorded_by,
           details::jsonb
    FROM unnest(
            r_workspace_ids, r_keys, r_fingerprints, r_account_ids, r_codes, r_commands, r_kinds,
            r_entry_ids, r_versions, r_previous, r_balances, r_available, r_held, r_exhausted,
            r_recorded_at, r_recorded_by, r_details
        ) AS given(
            workspace_id, key, fingerprint, account_id, code, command, kind, entry_id, version,
            previous, balance, available, held, exhausted, recorded_at, recorded_by, details)
    ORDER BY workspace_id, key;

    IF cardinality(e_entry_ids) = 0 THEN
        RETURN;
    END IF;

    INSERT INTO entry (
        workspace_id, entry_id, kind, reference, reason, merchant_id, merchant_name, location,
        terminal, recorded_by, occurred_at, recorded_at, reverses, hold_id, purchase_minor,
        purchase_unit)
    SELECT workspace_id, entry_id, kind, reference, reason, merchant_id, merchant_name, location,
           terminal, recorded_by, occurred_at, recorded_at, reverses, hold_id, purchase,
           purchase_unit
    FROM unnest(
            e_workspace_ids, e_entry_ids, e_kinds, e_references, e_reasons, e_merchant_ids,
            e_merchant_names, e_locations, e_terminals, e_recorded_by, e_occurred_at,
            e_recorded_at, e_reverses, e_hold_ids, e_purchases, e_purchase_units
        ) AS given(
            workspace_id, entry_id, kind, reference, reason, merchant_id, merchant_name, location,
            terminal, recorded_by, occurred_at, recorded_at, reverses, hold_id, purchase,
            purchase_unit)
    ORDER BY workspace_id, reference;

    INSERT INTO posting (
        workspace_id, entry_id, account_id, amount_minor, unit, version, balance_after_minor,
        held_change_minor, held_after_minor)
    SELECT workspace_id, entry_id, account_id, amount, unit, version, balance, held_change, held
    FROM unnest(
            p_workspace_ids, p_entry_ids, p_account_ids, p_amounts, p_units, p_versions,
            p_balances, p_held_changes, p_held
        ) AS given(
            workspace_id, entry_id, account_id, amount, unit, version, balance, held_change, held);

    UPDATE account
    SET balance_minor = given.balance, held_minor = given.held, open_holds = given.open_holds,
        version = given.version, counted_on = given.counted_on,
        day_earned_minor = given.day_earned, day_redeemed_minor = given.day_redeemed,
        full_minor = given.full_amount, lots_minor = given.lots,
        undated_expires_at = given.undated_expires_at, tier = given.tier,
        tier_earned_minor = given.tier_earned, tier_until = given.tier_until,
        is_checked_in = given.checked_in, recorded_at = given.recorded_at,
        status = CASE WHEN given.closed_reason IS NULL THEN account.status ELSE 'closed' END,
        closed_reason = coalesce(account.closed_reason, given.closed_reason),
        closed_at = CASE
            WHEN given.closed_reason IS NULL THEN account.closed_at
            ELSE coalesce(account.closed_at, p_now) END
    FROM unnest(
            a_account_ids, a_balances, a_held, a_open_holds, a_versions, a_counted_on,
            a_day_earned, a_day_redeemed, a_full, a_lots, a_undated_expires_at, a_tiers,
            a_tier_earned, a_tier_until, a_checked_in, a_recorded_at, a_closed_reasons
        ) AS given(
            account_id, balance, held, open_holds, version, counted_on, day_earned, day_redeemed,
            full_amount, lots, undated_expires_at, tier, tier_earned, tier_until, checked_in,
            recorded_at, closed_reason)
    WHERE account.account_id = given.account_id;
END $$;
