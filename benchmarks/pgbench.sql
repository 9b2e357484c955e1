-- The same work as one statement: lock and debit, entry, postings, decision; one commit each, the usual limit.
\set account random(1, :accounts)
\set amount random(1, 9999)
WITH payer AS (
    SELECT ledger.id, account.id AS account_id, account.reference
    FROM benefits_accounts account
    JOIN ledger_accounts ledger ON ledger.holder_id = account.id AND ledger.kind = 'benefits.MEAL'
    WHERE account.reference = 'b' || :account::int
    FOR UPDATE OF ledger
),
paid AS (
    UPDATE ledger_accounts ledger SET balance = balance - :amount::bigint, version = version + 1
    FROM payer WHERE ledger.id = payer.id AND ledger.balance - ledger.held >= :amount::bigint
    RETURNING ledger.id, ledger.balance, ledger.version
),
entry AS (
    INSERT INTO ledger_entries (id, kind, posted_at, actor_kind, actor_id)
    SELECT uuidv7(), 'benefits.purchase', clock_timestamp(), 'processor', 'authorizer' FROM paid
    RETURNING id, posted_at
),
lines AS (
    INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
    SELECT entry.id, 0, paid.id, -(:amount::bigint), paid.version, paid.balance, entry.posted_at FROM entry, paid
    UNION ALL
    SELECT entry.id, 1, settlement.id, :amount::bigint, NULL, NULL, entry.posted_at
    FROM entry, (SELECT id FROM ledger_accounts WHERE id = :settlement::uuid) settlement
)
INSERT INTO benefits_decisions (
    id, external_id, account_id, account, amount, mcc, merchant, fallback, code, reason, category_tried, category_used, rule)
SELECT entry.id, entry.id::text, payer.account_id, payer.reference, :amount::bigint, '5811', 'PADARIA DO ZE               SAO PAULO BR', true,
       '00', 'approved', 'MEAL', 'MEAL', 'mcc'
FROM entry, payer;
