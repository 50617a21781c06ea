"""What must hold between the tables of a workspace, each as one statement over all of it.

Each gives subject, expected and actual of what does not hold; $1 is the workspace, $2 a limit.
"""

from __future__ import annotations

#: Each finds subjects in one statement: code, SQL giving subject, expected and actual.
CHECKS: tuple[tuple[str, str], ...] = (
    (
        "ENTRY_UNBALANCED",
        """
        SELECT 'entry ' || entry_id AS subject, '0' AS expected,
               sum(amount_minor)::text || ' ' || unit AS actual
        FROM posting WHERE workspace_id = $1
        GROUP BY entry_id, unit HAVING sum(amount_minor) <> 0 LIMIT $2
        """,
    ),
    (
        "ENTRY_WITHOUT_POSTINGS",
        """
        SELECT 'entry ' || entry.entry_id AS subject, 'a posting of a pass' AS expected,
               count(posting.entry_id)::text || ' postings' AS actual
        FROM entry LEFT JOIN posting
            ON posting.workspace_id = entry.workspace_id AND posting.entry_id = entry.entry_id
        WHERE entry.workspace_id = $1
        GROUP BY entry.entry_id HAVING count(posting.version) = 0 LIMIT $2
        """,
    ),
    (
        "POSTING_WITHOUT_ENTRY",
        """
        SELECT DISTINCT 'entry ' || posting.entry_id AS subject, 'an entry' AS expected,
               'none' AS actual
        FROM posting LEFT JOIN entry
            ON entry.workspace_id = posting.workspace_id AND entry.entry_id = posting.entry_id
        WHERE posting.workspace_id = $1 AND entry.entry_id IS NULL LIMIT $2
        """,
    ),
    (
        "TRANSFER_UNEQUAL",
        """
        SELECT 'entry ' || entry.entry_id AS subject, '2 passes of 1 unit, no counter-account' AS expected,
               format('%s of %s, in %s units', count(posting.version), count(*),
                      count(DISTINCT posting.unit)) AS actual
        FROM entry JOIN posting
            ON posting.workspace_id = entry.workspace_id AND posting.entry_id = entry.entry_id
        WHERE entry.workspace_id = $1 AND entry.kind = 'transfer'
        GROUP BY entry.entry_id
        HAVING count(posting.version) <> 2 OR count(*) <> 2 OR count(DISTINCT posting.unit) <> 1
        LIMIT $2
        """,
    ),
    (
        "REVERSAL_EXCEEDS",
        """
        SELECT 'entry ' || reversed.entry_id AS subject,
               'at most ' || abs(own.amount_minor)::text AS expected,
               sum(abs(back.amount_minor))::text AS actual
        FROM entry AS reversed
        JOIN posting AS own
            ON own.workspace_id = reversed.workspace_id AND own.entry_id = reversed.entry_id
            AND own.version IS NOT NULL
        JOIN entry AS reversal
            ON reversal.workspace_id = reversed.workspace_id
            AND reversal.reverses = reversed.entry_id
        JOIN posting AS back
            ON back.workspace_id = reversal.workspace_id AND back.entry_id = reversal.entry_id
            AND back.account_id = own.account_id
        WHERE reversed.workspace_id = $1
        GROUP BY reversed.entry_id, own.account_id, own.amount_minor
        HAVING sum(abs(back.amount_minor)) > abs(own.amount_minor) LIMIT $2
        """,
    ),
    (
        "REVERSAL_MISMATCH",
        """
        SELECT 'entry ' || back.entry_id AS subject,
               format('%s legs of entry %s turned round, of 1 amount', whole.legs, back.reverses)
                   AS expected,
               format('%s of %s legs, of %s amounts', back.matching, back.legs, back.amounts)
                   AS actual
        FROM (
            SELECT reversal.entry_id, reversal.reverses, count(*) AS legs,
                   count(*) FILTER (WHERE own.unit = leg.unit
                       AND sign(own.amount_minor) = -sign(leg.amount_minor)) AS matching,
                   count(DISTINCT abs(leg.amount_minor)) AS amounts
            FROM entry AS reversal
            JOIN posting AS leg
                ON leg.workspace_id = reversal.workspace_id AND leg.entry_id = reversal.entry_id
            LEFT JOIN posting AS own
                ON own.workspace_id = reversal.workspace_id AND own.entry_id = reversal.reverses
                AND own.account_id = leg.account_id
            WHERE reversal.workspace_id = $1 AND reversal.reverses IS NOT NULL
            GROUP BY reversal.entry_id, reversal.reverses
        ) AS back
        JOIN (
            SELECT posting.entry_id, count(*) AS legs
            FROM posting WHERE posting.workspace_id = $1 GROUP BY posting.entry_id
        ) AS whole ON whole.entry_id = back.reverses
        WHERE back.matching <> back.legs OR back.legs <> whole.legs OR back.amounts <> 1 LIMIT $2
        """,
    ),
    (
        # A spending gives back to the lots that it took from, an earning gives back nothing.
        "REVERSAL_LOT_MISMATCH",
        """
        SELECT 'entry ' || back.reverses AS subject,
               format('at most %s given back to lot %s',
                      CASE WHEN own.amount_minor < 0 THEN -coalesce(used.amount_minor, 0)
                           ELSE 0 END, back.lot_id) AS expected,
               back.amount_minor::text AS actual
        FROM (
            SELECT reversal.reverses, lot_movement.lot_id,
                   sum(lot_movement.amount_minor) AS amount_minor
            FROM entry AS reversal JOIN lot_movement
                ON lot_movement.workspace_id = reversal.workspace_id
                AND lot_movement.entry_id = reversal.entry_id
            WHERE reversal.workspace_id = $1 AND reversal.reverses IS NOT NULL
            GROUP BY reversal.reverses, lot_movement.lot_id
        ) AS back
        JOIN lot ON lot.workspace_id = $1 AND lot.lot_id = back.lot_id
        JOIN posting AS own ON own.workspace_id = $1 AND own.entry_id = back.reverses
            AND own.account_id = lot.account_id
        LEFT JOIN (
            SELECT lot_movement.entry_id, lot_movement.lot_id,
                   sum(lot_movement.amount_minor) AS amount_minor
            FROM lot_movement WHERE lot_movement.workspace_id = $1
            GROUP BY lot_movement.entry_id, lot_movement.lot_id
        ) AS used ON used.entry_id = back.reverses AND used.lot_id = back.lot_id
        WHERE (own.amount_minor < 0
                AND back.amount_minor > greatest(-coalesce(used.amount_minor, 0), 0))
            OR (own.amount_minor > 0 AND back.amount_minor > 0) LIMIT $2
        """,
    ),
    (
        "REVERSAL_WITHOUT_ENTRY",
        """
        SELECT 'entry ' || reversal.entry_id AS subject, 'entry ' || reversal.reverses AS expected,
               'none' AS actual
        FROM entry AS reversal LEFT JOIN entry AS reversed
            ON reversed.workspace_id = reversal.workspace_id
            AND reversed.entry_id = reversal.reverses
        WHERE reversal.workspace_id = $1 AND reversal.reverses IS NOT NULL
            AND reversed.entry_id IS NULL LIMIT $2
        """,
    ),
    (
        "HOLD_MISMATCH",
        """
        SELECT 'hold ' || hold.hold_id AS subject,
               format('%s held, %s captured, %s left, of account %s, ended by %s', made.held,
                      -made.moved, made.left_over, made.account_ids, made.last_kind) AS expected,
               format('%s held, %s captured, %s left, of account %s, %s', hold.amount_minor,
                      hold.captured_minor,
                      hold.amount_minor - hold.captured_minor - hold.released_minor,
                      hold.account_id, hold.state) AS actual
        FROM hold
        LEFT JOIN (
            SELECT entry.hold_id,
                   coalesce(sum(posting.held_change_minor)
                       FILTER (WHERE entry.kind = 'hold'), 0) AS held,
                   coalesce(sum(posting.amount_minor), 0) AS moved,
                   coalesce(sum(posting.held_change_minor), 0) AS left_over,
                   array_agg(DISTINCT posting.account_id) AS account_ids,
                   (array_agg(entry.kind ORDER BY posting.version DESC))[1] AS last_kind
            FROM entry JOIN posting
                ON posting.workspace_id = entry.workspace_id
                AND posting.entry_id = entry.entry_id AND posting.version IS NOT NULL
            WHERE entry.workspace_id = $1 AND entry.hold_id IS NOT NULL
            GROUP BY entry.hold_id
        ) AS made ON made.hold_id = hold.hold_id
        WHERE hold.workspace_id = $1
            AND (made.hold_id IS NULL OR hold.amount_minor <> made.held
                OR hold.captured_minor <> -made.moved
                OR hold.amount_minor - hold.captured_minor - hold.released_minor
                    <> made.left_over
                OR made.account_ids <> ARRAY[hold.account_id]
                OR (hold.state = 'captured' AND made.last_kind <> 'capture')
                OR (hold.state IN ('released', 'expired') AND made.last_kind <> 'release'))
        LIMIT $2
        """,
    ),
    (
        "HOLD_MISSING",
        """
        SELECT DISTINCT 'hold ' || entry.hold_id AS subject, 'a hold' AS expected,
               'none' AS actual
        FROM entry LEFT JOIN hold
            ON hold.workspace_id = entry.workspace_id AND hold.hold_id = entry.hold_id
        WHERE entry.workspace_id = $1 AND entry.hold_id IS NOT NULL AND hold.hold_id IS NULL
        LIMIT $2
        """,
    ),
    (
        "OPEN_HOLDS_MISMATCH",
        """
        SELECT 'account ' || account.account_id AS subject,
               coalesce(open.number, 0)::text AS expected, account.open_holds::text AS actual
        FROM account
        LEFT JOIN (
            SELECT hold.account_id, count(*) AS number
            FROM hold WHERE hold.workspace_id = $1 AND hold.state = 'open'
            GROUP BY hold.account_id
        ) AS open ON open.account_id = account.account_id
        WHERE account.workspace_id = $1 AND account.kind = 'pass'
            AND account.open_holds <> coalesce(open.number, 0) LIMIT $2
        """,
    ),
    (
        "LOT_MISMATCH",
        """
        SELECT 'lot ' || lot.lot_id AS subject, coalesce(moved.amount_minor, 0)::text AS expected,
               lot.remaining_minor::text AS actual
        FROM lot
        LEFT JOIN (
            SELECT lot_movement.lot_id, sum(lot_movement.amount_minor) AS amount_minor
            FROM lot_movement WHERE lot_movement.workspace_id = $1 GROUP BY lot_movement.lot_id
        ) AS moved ON moved.lot_id = lot.lot_id
        WHERE lot.workspace_id = $1
            AND lot.remaining_minor <> coalesce(moved.amount_minor, 0) LIMIT $2
        """,
    ),
    (
        "LOT_OVERDRAWN",
        """
        SELECT 'lot ' || course.lot_id AS subject, 'never below 0' AS expected,
               min(course.remaining_minor)::text AS actual
        FROM (
            SELECT lot.lot_id, sum(lot_movement.amount_minor)
                OVER (PARTITION BY lot.lot_id ORDER BY posting.version) AS remaining_minor
            FROM lot_movement
            JOIN lot ON lot.workspace_id = lot_movement.workspace_id
                AND lot.lot_id = lot_movement.lot_id
            JOIN posting ON posting.workspace_id = lot_movement.workspace_id
                AND posting.entry_id = lot_movement.entry_id
                AND posting.account_id = lot.account_id
            WHERE lot_movement.workspace_id = $1
        ) AS course
        GROUP BY course.lot_id HAVING min(course.remaining_minor) < 0 LIMIT $2
        """,
    ),
    (
        "MOVEMENT_WITHOUT_LOT",
        """
        SELECT 'entry ' || lot_movement.entry_id AS subject, 'lot ' || lot_movement.lot_id
                   AS expected, 'none' AS actual
        FROM lot_movement LEFT JOIN lot
            ON lot.workspace_id = lot_movement.workspace_id AND lot.lot_id = lot_movement.lot_id
        WHERE lot_movement.workspace_id = $1 AND lot.lot_id IS NULL LIMIT $2
        """,
    ),
    (
        "LOTS_OF_ACCOUNT_MISMATCH",
        """
        SELECT 'account ' || account.account_id AS subject,
               coalesce(kept.amount_minor, 0)::text AS expected, account.lots_minor::text AS actual
        FROM account
        LEFT JOIN (
            SELECT lot.account_id, sum(lot.remaining_minor) AS amount_minor
            FROM lot WHERE lot.workspace_id = $1 GROUP BY lot.account_id
        ) AS kept ON kept.account_id = account.account_id
        WHERE account.workspace_id = $1 AND account.kind = 'pass'
            AND account.lots_minor <> coalesce(kept.amount_minor, 0) LIMIT $2
        """,
    ),
    (
        "MOVEMENT_OF_ANOTHER_ACCOUNT",
        """
        SELECT 'entry ' || lot_movement.entry_id AS subject,
               'a posting of account ' || lot.account_id AS expected, 'none' AS actual
        FROM lot_movement
        JOIN lot ON lot.workspace_id = lot_movement.workspace_id
            AND lot.lot_id = lot_movement.lot_id
        LEFT JOIN posting ON posting.workspace_id = lot_movement.workspace_id
            AND posting.entry_id = lot_movement.entry_id
            AND posting.account_id = lot.account_id
        WHERE lot_movement.workspace_id = $1 AND posting.entry_id IS NULL LIMIT $2
        """,
    ),
    (
        "POSTING_WITHOUT_ACCOUNT",
        """
        SELECT 'entry ' || posting.entry_id AS subject, 'an account' AS expected,
               'account ' || posting.account_id AS actual
        FROM posting LEFT JOIN account
            ON account.workspace_id = posting.workspace_id
            AND account.account_id = posting.account_id
        WHERE posting.workspace_id = $1 AND account.account_id IS NULL LIMIT $2
        """,
    ),
    (
        "VERSION_ON_WRONG_ACCOUNT",
        """
        SELECT 'entry ' || posting.entry_id AS subject, 'a version on pass accounts only' AS expected,
               account.kind || ' ' || coalesce(posting.version::text, 'none') AS actual
        FROM posting JOIN account
            ON account.workspace_id = posting.workspace_id
            AND account.account_id = posting.account_id
        WHERE posting.workspace_id = $1
            AND (posting.version IS NOT NULL) <> (account.kind = 'pass') LIMIT $2
        """,
    ),
    (
        # Transfers have none, and reversals have those of what they reverse: see above.
        "COUNTER_ACCOUNT_MISMATCH",
        """
        SELECT DISTINCT 'entry ' || entry.entry_id AS subject,
               format('%s of program %s', wanted.kind, own.program_id) AS expected,
               format('%s of program %s', counter.kind, counter.program_id) AS actual
        FROM posting AS leg
        JOIN account AS counter ON counter.workspace_id = leg.workspace_id
            AND counter.account_id = leg.account_id AND counter.kind <> 'pass'
        JOIN entry ON entry.workspace_id = leg.workspace_id AND entry.entry_id = leg.entry_id
            AND entry.kind NOT IN ('reverse', 'transfer')
        LEFT JOIN (VALUES
            ('opening', 'issuance'), ('load', 'issuance'), ('earn', 'issuance'),
            ('redeem', 'redeemed'), ('capture', 'redeemed'), ('check_in', 'redeemed'),
            ('adjust', 'adjustments'), ('expire', 'expired')
        ) AS wanted(entry_kind, kind) ON wanted.entry_kind = entry.kind
        JOIN posting AS pass_leg ON pass_leg.workspace_id = leg.workspace_id
            AND pass_leg.entry_id = leg.entry_id AND pass_leg.version IS NOT NULL
        JOIN account AS own ON own.workspace_id = pass_leg.workspace_id
            AND own.account_id = pass_leg.account_id
        WHERE leg.workspace_id = $1 AND leg.version IS NULL
            AND (counter.kind IS DISTINCT FROM wanted.kind
                OR counter.program_id <> own.program_id) LIMIT $2
        """,
    ),
    (
        "ENTRY_WITHOUT_KEY",
        """
        SELECT 'entry ' || entry.entry_id AS subject, '1 idempotency key' AS expected,
               count(result.entry_id)::text AS actual
        FROM entry LEFT JOIN idempotency_result AS result
            ON result.workspace_id = entry.workspace_id AND result.entry_id = entry.entry_id
        WHERE entry.workspace_id = $1 AND entry.kind <> 'opening'
        GROUP BY entry.entry_id HAVING count(result.entry_id) <> 1 LIMIT $2
        """,
    ),
    (
        "KEY_WITHOUT_ENTRY",
        """
        SELECT 'entry ' || result.entry_id AS subject, 'an entry' AS expected, 'none' AS actual
        FROM idempotency_result AS result LEFT JOIN entry
            ON entry.workspace_id = result.workspace_id AND entry.entry_id = result.entry_id
        WHERE result.workspace_id = $1 AND result.entry_id IS NOT NULL AND entry.entry_id IS NULL
        LIMIT $2
        """,
    ),
    (
        "KEY_MISMATCH",
        """
        SELECT 'entry ' || result.entry_id AS subject,
               format('version %s, balance %s to %s, held %s', posting.version,
                      posting.balance_after_minor - posting.amount_minor,
                      posting.balance_after_minor, posting.held_after_minor) AS expected,
               format('version %s, balance %s to %s, held %s', result.version,
                      result.previous_balance_minor, result.balance_minor, result.held_minor)
                   AS actual
        FROM idempotency_result AS result
        JOIN entry
            ON entry.workspace_id = result.workspace_id AND entry.entry_id = result.entry_id
        LEFT JOIN posting ON posting.workspace_id = result.workspace_id
            AND posting.entry_id = result.entry_id AND posting.account_id = result.account_id
        WHERE result.workspace_id = $1
            AND (posting.version IS DISTINCT FROM result.version
                OR posting.balance_after_minor <> result.balance_minor
                OR posting.balance_after_minor - posting.amount_minor
                    <> result.previous_balance_minor
                OR posting.held_after_minor <> result.held_minor) LIMIT $2
        """,
    ),
)
