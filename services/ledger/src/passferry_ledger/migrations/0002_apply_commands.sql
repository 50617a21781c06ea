-- Applies a batch of commands, in the order given, in one call and one transaction.
--
-- Every array has one element per command. The function locks the accounts in ascending order of
-- their ids, then decides command by command, keeping running balances in arrays, and at last
-- writes every table once. It takes unique keys in the order account, idempotency key, reference,
-- each ascending, so that two batches cannot wait for one another; a key that another batch wrote
-- meanwhile makes the call fail with unique_violation, and asking again finds it.
--
-- Returns one row per command. `code` is `applied` or the refusal's; `is_replayed` says that it is
-- the remembered outcome of an earlier command. Of the refusals pass_unknown, pass_mismatch and
-- key_reused nothing is remembered.
--
-- The plan must not depend on statistics of a table that was empty when it was made.
CREATE FUNCTION apply_commands_v1(
    p_now timestamptz,
    p_workspace_ids uuid[],
    p_pass_ids uuid[],
    p_external_ids text[],
    p_actions text[],
    p_amounts bigint[],
    p_units text[],
    p_entry_ids uuid[],
    p_keys text[],
    p_fingerprints bytea[],
    p_suspended boolean[],
    p_references text[],
    p_reasons text[],
    p_merchant_ids text[],
    p_merchant_names text[],
    p_locations text[],
    p_terminals text[],
    p_recorded_by text[],
    p_occurred_at timestamptz[]
) RETURNS TABLE (
    place                  integer,
    code                   text,
    is_replayed            boolean,
    pass_id                uuid,
    external_id            text,
    program_id             uuid,
    unit                   text,
    unit_scale             smallint,
    entry_id               uuid,
    version                bigint,
    previous_balance_minor bigint,
    balance_minor          bigint,
    available_minor        bigint,
    is_exhausted           boolean,
    recorded_at            timestamptz
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    c_max_amount constant bigint := 9223372036854775807;
    c_max_commands constant integer := 1000;
    v_count integer := coalesce(cardinality(p_workspace_ids), 0);
    v_today date := (p_now AT TIME ZONE 'UTC')::date;
    c record;
    i integer;
    v_code text;
    v_change bigint;
    v_new bigint;
    v_day bigint;
    v_same integer;
    -- Per command, from resolving it.
    v_account_ids bigint[];
    v_slots integer[];
    v_first_of_key integer[];
    v_previous_of_reference integer[];
    -- Per account, running through the batch; `slot` is its rank among the batch's accounts.
    s_account bigint[];
    s_workspace uuid[];
    s_balance bigint[];
    s_version bigint[];
    s_earned bigint[];
    s_redeemed bigint[];
    s_changed boolean[];
    -- Per command, the outcome.
    r_code text[] := array_fill(NULL::text, ARRAY[v_count]);
    r_replayed boolean[] := array_fill(false, ARRAY[v_count]);
    r_remembered boolean[] := array_fill(false, ARRAY[v_count]);
    r_entry uuid[] := array_fill(NULL::uuid, ARRAY[v_count]);
    r_version bigint[] := array_fill(NULL::bigint, ARRAY[v_count]);
    r_previous bigint[] := array_fill(NULL::bigint, ARRAY[v_count]);
    r_balance bigint[] := array_fill(NULL::bigint, ARRAY[v_count]);
    r_available bigint[] := array_fill(NULL::bigint, ARRAY[v_count]);
    r_exhausted boolean[] := array_fill(false, ARRAY[v_count]);
    r_recorded timestamptz[] := array_fill(p_now, ARRAY[v_count]);
    r_change bigint[] := array_fill(NULL::bigint, ARRAY[v_count]);
    r_counter bigint[] := array_fill(NULL::bigint, ARRAY[v_count]);
BEGIN
    IF v_count = 0 THEN
        RETURN;
    END IF;
    IF v_count > c_max_commands THEN
        RAISE EXCEPTION 'a batch has at most % commands', c_max_commands;
    END IF;

    -- 1. Which account does each command mean, and which commands of the batch touch one another?
    SELECT array_agg(resolved.account_id ORDER BY resolved.position),
           array_agg(resolved.slot ORDER BY resolved.position),
           array_agg(resolved.first_of_key ORDER BY resolved.position),
           array_agg(resolved.previous_of_reference ORDER BY resolved.position)
    INTO v_account_ids, v_slots, v_first_of_key, v_previous_of_reference
    FROM (
        SELECT found.position, found.account_id,
               dense_rank() OVER (ORDER BY found.account_id NULLS LAST)::integer AS slot,
               min(found.position) OVER (
                   PARTITION BY found.workspace_id, found.account_id IS NULL, found.key
               )::integer AS first_of_key,
               lag(found.position) OVER (
                   PARTITION BY found.workspace_id, found.reference ORDER BY found.position
               )::integer AS previous_of_reference
        FROM (
            SELECT given.position, given.workspace_id, given.key, given.reference,
                   coalesce(by_pass.account_id, by_external.account_id) AS account_id
            FROM unnest(p_workspace_ids, p_pass_ids, p_external_ids, p_keys, p_references)
                WITH ORDINALITY AS given(workspace_id, pass_id, external_id, key, reference, position)
            LEFT JOIN account AS by_pass
                ON by_pass.workspace_id = given.workspace_id AND by_pass.pass_id = given.pass_id
            LEFT JOIN account AS by_external
                ON given.pass_id IS NULL
                AND by_external.workspace_id = given.workspace_id
                AND by_external.external_id = given.external_id
        ) AS found
    ) AS resolved;

    -- 2. One order of locking for everybody.
    SELECT array_agg(locked.account_id ORDER BY locked.account_id),
           array_agg(locked.workspace_id ORDER BY locked.account_id)
    INTO s_account, s_workspace
    FROM (
        SELECT account.account_id, account.workspace_id
        FROM (
            SELECT DISTINCT wanted.workspace_id, wanted.account_id
            FROM unnest(p_workspace_ids, v_account_ids) AS wanted(workspace_id, account_id)
            WHERE wanted.account_id IS NOT NULL
        ) AS given
        JOIN account
            ON account.workspace_id = given.workspace_id AND account.account_id = given.account_id
        ORDER BY account.account_id
        FOR NO KEY UPDATE OF account
    ) AS locked;
    IF s_account IS NOT NULL THEN
        s_balance := array_fill(NULL::bigint, ARRAY[cardinality(s_account)]);
        s_version := s_balance;
        s_earned := s_balance;
        s_redeemed := s_balance;
        s_changed := array_fill(false, ARRAY[cardinality(s_account)]);
    END IF;

    -- 3. Decide. This statement's snapshot is newer than the locks, so what it reads is final.
    FOR c IN
        SELECT given.position::integer AS position, given.slot, given.first_of_key,
               given.previous_of_reference, given.action, given.amount, given.unit AS wanted_unit,
               given.key, given.fingerprint, given.is_suspended, given.entry_id AS new_entry_id,
               given.external_id AS wanted_external_id, given.pass_id AS wanted_pass_id,
               account.account_id, account.external_id, account.unit, account.balance_owner,
               account.balance_minor, account.version, account.status,
               account.day_earned_minor, account.day_redeemed_minor, account.counted_on,
               program.protocol, program.status AS program_status, program.floor_minor,
               program.max_entry_minor, program.max_balance_minor, program.max_per_day_minor,
               counter.account_id AS counter_id,
               stored.fingerprint AS stored_fingerprint, stored.account_id AS stored_account_id,
               stored.code AS stored_code, stored.entry_id AS stored_entry_id,
               stored.version AS stored_version, stored.balance_minor AS stored_balance,
               stored.previous_balance_minor AS stored_previous,
               stored.available_minor AS stored_available,
               stored.is_exhausted AS stored_exhausted, stored.recorded_at AS stored_recorded_at,
               written.entry_id AS written_entry_id
        FROM unnest(
                p_workspace_ids, v_account_ids, v_slots, v_first_of_key, v_previous_of_reference,
                p_pass_ids, p_external_ids, p_actions, p_amounts, p_units, p_keys, p_fingerprints,
                p_suspended, p_references, p_entry_ids
            ) WITH ORDINALITY AS given(
                workspace_id, account_id, slot, first_of_key, previous_of_reference,
                pass_id, external_id, action, amount, unit, key, fingerprint,
                is_suspended, reference, entry_id, position)
        LEFT JOIN account
            ON account.workspace_id = given.workspace_id AND account.account_id = given.account_id
        LEFT JOIN program
            ON program.workspace_id = account.workspace_id
            AND program.program_id = account.program_id
        LEFT JOIN account AS counter
            ON counter.workspace_id = account.workspace_id
            AND counter.program_id = account.program_id
            AND counter.unit = account.unit
            AND counter.kind <> 'pass'
            AND counter.kind = CASE given.action
                WHEN 'redeem' THEN 'redeemed' WHEN 'adjust' THEN 'adjustments' ELSE 'issuance' END
        LEFT JOIN idempotency_result AS stored
            ON stored.workspace_id = given.workspace_id AND stored.idempotency_key = given.key
        LEFT JOIN entry AS written
            ON written.workspace_id = given.workspace_id AND written.reference = given.reference
            AND written.reference IS NOT NULL
        ORDER BY given.position
    LOOP
        i := c.position;

        IF c.account_id IS NULL THEN
            r_code[i] := 'pass_unknown';
            CONTINUE;
        END IF;
        IF s_balance[c.slot] IS NULL THEN
            s_balance[c.slot] := c.balance_minor;
            s_version[c.slot] := c.version;
            s_earned[c.slot] := CASE WHEN c.counted_on = v_today THEN c.day_earned_minor ELSE 0 END;
            s_redeemed[c.slot] :=
                CASE WHEN c.counted_on = v_today THEN c.day_redeemed_minor ELSE 0 END;
        END IF;
        IF c.wanted_pass_id IS NOT NULL AND c.wanted_external_id <> c.external_id THEN
            r_code[i] := 'pass_mismatch';
            CONTINUE;
        END IF;

        -- What this key has brought about before: in an earlier batch, or in this one.
        IF c.stored_code IS NOT NULL THEN
            IF c.stored_fingerprint <> c.fingerprint OR c.stored_account_id <> c.account_id THEN
                r_code[i] := 'key_reused';
                CONTINUE;
            END IF;
            r_code[i] := c.stored_code;
            r_replayed[i] := true;
            r_entry[i] := c.stored_entry_id;
            r_version[i] := c.stored_version;
            r_previous[i] := c.stored_previous;
            r_balance[i] := c.stored_balance;
            r_available[i] := c.stored_available;
            r_exhausted[i] := c.stored_exhausted;
            r_recorded[i] := c.stored_recorded_at;
            CONTINUE;
        END IF;
        v_same := c.first_of_key;
        IF c.key IS NOT NULL AND v_same < i AND r_remembered[v_same] THEN
            IF p_fingerprints[v_same] <> c.fingerprint OR v_slots[v_same] <> c.slot THEN
                r_code[i] := 'key_reused';
                CONTINUE;
            END IF;
            r_code[i] := r_code[v_same];
            r_replayed[i] := true;
            r_entry[i] := r_entry[v_same];
            r_version[i] := r_version[v_same];
            r_previous[i] := r_previous[v_same];
            r_balance[i] := r_balance[v_same];
            r_available[i] := r_available[v_same];
            r_exhausted[i] := r_exhausted[v_same];
            CONTINUE;
        END IF;

        -- Has the batch written an entry under this reference?
        v_same := c.previous_of_reference;
        IF p_references[i] IS NULL THEN
            v_same := NULL;
        END IF;
        WHILE v_same IS NOT NULL AND (r_code[v_same] <> 'applied' OR r_replayed[v_same]) LOOP
            v_same := v_previous_of_reference[v_same];
        END LOOP;

        v_change := CASE WHEN c.action = 'redeem' THEN -c.amount ELSE c.amount END;
        v_day := CASE c.action WHEN 'earn' THEN s_earned[c.slot] WHEN 'redeem' THEN s_redeemed[c.slot] END;

        v_code := CASE
            WHEN c.balance_owner = 'upstream' THEN 'balance_kept_upstream'
            WHEN c.status = 'closed' THEN 'account_closed'
            WHEN c.action <> 'opening' AND c.is_suspended THEN 'workspace_suspended'
            WHEN c.action <> 'opening' AND c.program_status = 'suspended' THEN 'program_suspended'
            WHEN c.action <> 'opening' AND c.program_status = 'retired' THEN 'program_retired'
            WHEN c.wanted_unit <> c.unit THEN 'unit_mismatch'
            WHEN c.amount = 0 OR (c.amount < 0 AND c.action IN ('earn', 'redeem'))
                THEN 'amount_invalid'
            WHEN v_same IS NOT NULL OR c.written_entry_id IS NOT NULL THEN 'reference_used'
            WHEN v_change > 0 AND s_balance[c.slot] > c_max_amount - v_change
                THEN 'amount_out_of_range'
            WHEN v_change < 0 AND s_balance[c.slot] < -c_max_amount - v_change
                THEN 'amount_out_of_range'
            WHEN c.action <> 'opening' AND abs(c.amount) > c.max_entry_minor
                THEN 'entry_limit_exceeded'
            WHEN c.action IN ('earn', 'redeem') AND v_day > c.max_per_day_minor - c.amount
                THEN 'day_limit_exceeded'
            WHEN c.action <> 'opening' AND v_change > 0
                AND s_balance[c.slot] + v_change > c.max_balance_minor
                THEN 'balance_limit_exceeded'
            WHEN v_change < 0 AND s_balance[c.slot] + v_change < c.floor_minor
                THEN 'insufficient_balance'
            ELSE 'applied'
        END;

        r_code[i] := v_code;
        r_remembered[i] := c.key IS NOT NULL;
        r_previous[i] := s_balance[c.slot];
        IF v_code = 'applied' THEN
            v_new := s_balance[c.slot] + v_change;
            s_balance[c.slot] := v_new;
            s_version[c.slot] := s_version[c.slot] + 1;
            s_changed[c.slot] := true;
            IF c.action = 'earn' THEN
                s_earned[c.slot] := v_day + least(c.amount, c_max_amount - v_day);
            ELSIF c.action = 'redeem' THEN
                s_redeemed[c.slot] := v_day + least(c.amount, c_max_amount - v_day);
            END IF;
            r_entry[i] := c.new_entry_id;
            r_change[i] := v_change;
            r_counter[i] := c.counter_id;
            r_exhausted[i] := c.protocol = 'COUPON' AND c.action = 'redeem'
                AND v_new <= c.floor_minor;
        END IF;
        r_version[i] := s_version[c.slot];
        r_balance[i] := s_balance[c.slot];
        -- The spread between balance and floor may not fit either; what fits is enough to say.
        r_available[i] := CASE
            WHEN s_balance[c.slot] <= c.floor_minor THEN 0
            WHEN c.floor_minor < 0 AND s_balance[c.slot] > c_max_amount + c.floor_minor
                THEN c_max_amount
            ELSE s_balance[c.slot] - c.floor_minor
        END;
    END LOOP;

    -- 4. Write every table once.
    INSERT INTO idempotency_result (
        workspace_id, idempotency_key, fingerprint, account_id, code, entry_id, version,
        previous_balance_minor, balance_minor, available_minor, is_exhausted, recorded_at)
    SELECT done.workspace_id, done.key, done.fingerprint, done.account_id, done.code,
           done.entry_id, done.version, done.previous, done.balance, done.available,
           done.exhausted, p_now
    FROM unnest(
            p_workspace_ids, p_keys, p_fingerprints, v_account_ids, r_code, r_entry, r_version,
            r_previous, r_balance, r_available, r_exhausted, r_remembered
        ) AS done(
            workspace_id, key, fingerprint, account_id, code, entry_id, version,
            previous, balance, available, exhausted, remembered)
    WHERE done.remembered
    ORDER BY done.workspace_id, done.key;

    IF 'applied' = ANY (r_code) THEN
        INSERT INTO entry (
            workspace_id, entry_id, kind, reference, reason, merchant_id, merchant_name,
            location, terminal, recorded_by, occurred_at, recorded_at)
        SELECT done.workspace_id, done.entry_id, done.action, done.reference, done.reason,
               done.merchant_id, done.merchant_name, done.location, done.terminal,
               done.recorded_by, coalesce(done.occurred_at, p_now), p_now
        FROM unnest(
                p_workspace_ids, r_entry, p_actions, p_references, p_reasons, p_merchant_ids,
                p_merchant_names, p_locations, p_terminals, p_recorded_by, p_occurred_at, r_change
            ) AS done(
                workspace_id, entry_id, action, reference, reason, merchant_id,
                merchant_name, location, terminal, recorded_by, occurred_at, change)
        WHERE done.change IS NOT NULL
        ORDER BY done.workspace_id, done.reference;

        INSERT INTO posting (
            workspace_id, entry_id, account_id, amount_minor, unit, version, balance_after_minor)
        SELECT done.workspace_id, done.entry_id, leg.account_id, leg.amount_minor, account.unit,
               leg.version, leg.balance_after_minor
        FROM unnest(
                p_workspace_ids, r_entry, v_account_ids, r_counter, r_change, r_version, r_balance
            ) AS done(workspace_id, entry_id, account_id, counter_id, change, version, balance)
        JOIN account
            ON account.workspace_id = done.workspace_id AND account.account_id = done.account_id
        CROSS JOIN LATERAL (VALUES
            (done.account_id, done.change, done.version, done.balance),
            (done.counter_id, -done.change, NULL, NULL)
        ) AS leg(account_id, amount_minor, version, balance_after_minor)
        WHERE done.change IS NOT NULL;

        UPDATE account
        SET balance_minor = done.balance, version = done.version, counted_on = v_today,
            day_earned_minor = done.earned, day_redeemed_minor = done.redeemed
        FROM unnest(s_workspace, s_account, s_balance, s_version, s_earned, s_redeemed, s_changed)
            AS done(workspace_id, account_id, balance, version, earned, redeemed, is_changed)
        WHERE account.workspace_id = done.workspace_id
            AND account.account_id = done.account_id AND done.is_changed;
    END IF;

    RETURN QUERY
    SELECT done.position::integer, done.code, done.replayed, account.pass_id, account.external_id,
           account.program_id, account.unit, account.unit_scale, done.entry_id, done.version,
           done.previous, done.balance, done.available, done.exhausted, done.recorded
    FROM unnest(
            p_workspace_ids, v_account_ids, r_code, r_replayed, r_entry, r_version, r_previous,
            r_balance, r_available, r_exhausted, r_recorded
        ) WITH ORDINALITY AS done(
            workspace_id, account_id, code, replayed, entry_id, version, previous,
            balance, available, exhausted, recorded, position)
    LEFT JOIN account
        ON account.workspace_id = done.workspace_id AND account.account_id = done.account_id
    ORDER BY done.position;
END $$;
