"""ledger: functions that compare, within the statement that moves money, what was decided with.

Former release: it does not call them.
"""

from alembic import op

revision = "0064"
down_revision = "0063"

TRANSIT_SETTLE = """
CREATE FUNCTION transit_settle(
    cards uuid[], owners uuid[], recharged uuid[], rides uuid[], debts bigint[], remainders bigint[]
) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    there bigint;
    matching bigint;
BEGIN
    IF EXISTS (
        SELECT FROM unnest(cards, owners) AS known (card_id, owner_id)
        WHERE NOT EXISTS (
            SELECT FROM transport_cards card
            WHERE card.id = known.card_id AND card.user_id = known.owner_id AND card.status = 'active')
    ) THEN
        RAISE EXCEPTION 'a card is not as it was' USING ERRCODE = 'CT001';
    END IF;
    IF cardinality(recharged) = 0 THEN
        RETURN true;
    END IF;
    WITH ride AS MATERIALIZED (
        SELECT tap.id, tap.outstanding FROM transit_taps tap
        WHERE tap.user_id = ANY (recharged) AND tap.outstanding > 0
        ORDER BY tap.tapped_at, tap.id FOR UPDATE
    )
    SELECT count(*), count(*) FILTER (WHERE EXISTS (
        SELECT FROM unnest(rides, debts) AS was (id, amount) WHERE was.id = ride.id AND was.amount = ride.outstanding))
    INTO there, matching FROM ride;
    IF there <> matching OR matching <> cardinality(rides) THEN
        RAISE EXCEPTION 'a person does not owe what they did' USING ERRCODE = 'CT001';
    END IF;
    IF matching > 0 THEN
        UPDATE transit_taps tap SET outstanding = now.remainder
        FROM unnest(rides, debts, remainders) AS now (id, debt, remainder)
        WHERE tap.id = now.id AND now.remainder <> now.debt;
    END IF;
    RETURN true;
END $$;
"""

TRANSIT_KEEP_CARDS = """
CREATE FUNCTION transit_keep_cards(
    cards uuid[], owners uuid[], cancellations timestamptz[], instants bigint[]
) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM transport_cards WHERE id = ANY (cards) ORDER BY id FOR SHARE;
    IF EXISTS (
        SELECT FROM unnest(cards, owners, cancellations, instants) AS was (card_id, owner_id, at, blocks)
        WHERE NOT EXISTS (
            SELECT FROM transport_cards card
            WHERE card.id = was.card_id AND card.user_id IS NOT DISTINCT FROM was.owner_id
              AND card.cancelled_at IS NOT DISTINCT FROM was.at
              AND was.blocks = (SELECT count(*) + count(block.unblocked_at) FROM transit_card_blocks block
                                WHERE block.card_id = card.id))
    ) THEN
        RAISE EXCEPTION 'a card is not as it was' USING ERRCODE = 'CT001';
    END IF;
    RETURN true;
END $$;
"""

LEDGER_KEEP_ENTRY = """
CREATE FUNCTION ledger_keep_entry(entry uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(entry::text, 1));
    IF EXISTS (SELECT FROM ledger_reversals reversal WHERE reversal.reverses_id = entry) THEN
        RAISE EXCEPTION 'the entry was reversed' USING ERRCODE = 'CA001';
    END IF;
    RETURN true;
END $$;
"""

COUNT_OPERATOR_DAY = """
CREATE FUNCTION count_operator_day(
    of_kind text, of_id text, of_limit text, on_day date, counted bigint, daily bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF daily IS NULL OR counted = 0 THEN
        RETURN true;
    END IF;
    IF counted <= daily THEN
        INSERT INTO operator_days AS known (actor_kind, actor_id, limit_name, day, amount)
        VALUES (of_kind, of_id, of_limit, on_day, counted)
        ON CONFLICT (actor_kind, actor_id, limit_name, day) DO UPDATE SET amount = known.amount + excluded.amount
        WHERE known.amount + excluded.amount <= daily;
        IF FOUND THEN
            RETURN true;
        END IF;
    END IF;
    RAISE EXCEPTION 'too little is left of the day' USING ERRCODE = 'CA303';
END $$;
"""

BENEFITS_KEEP_ACCOUNTS = """
CREATE FUNCTION benefits_keep_accounts(accounts uuid[], employers uuid[], owners uuid[]) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM benefits_accounts WHERE id = ANY (accounts) ORDER BY id FOR SHARE;
    IF EXISTS (
        SELECT FROM unnest(accounts, employers, owners) AS was (account_id, of_employer, of_user)
        WHERE NOT EXISTS (
            SELECT FROM benefits_accounts account
            WHERE account.id = was.account_id AND account.employer_id = was.of_employer
              AND account.user_id IS NOT DISTINCT FROM was.of_user AND account.state <> 'closed')
    ) THEN
        RAISE EXCEPTION 'an account is not as it was' USING ERRCODE = 'CB002';
    END IF;
    RETURN true;
END $$;
"""

BENEFITS_KEEP_RETURNED = """
CREATE FUNCTION benefits_keep_returned(of_decision uuid, returned bigint) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM ledger_keep_entry(of_decision);
    IF returned <> (SELECT coalesce(sum(back.amount), 0) FROM benefits_returns back
                    WHERE back.decision_id = of_decision) THEN
        RAISE EXCEPTION 'another amount was returned' USING ERRCODE = 'CB003';
    END IF;
    RETURN true;
END $$;
"""


def upgrade() -> None:
    for function in (
        TRANSIT_SETTLE,
        TRANSIT_KEEP_CARDS,
        LEDGER_KEEP_ENTRY,
        COUNT_OPERATOR_DAY,
        BENEFITS_KEEP_ACCOUNTS,
        BENEFITS_KEEP_RETURNED,
    ):
        op.execute(function)
