-- Raise CT001 unless each card is active and its person's, and the persons of `recharged` owe exactly these rides, by
-- these amounts. Then set what remains owed of each ride.
--
-- The caller decided with cached data. Called when the cards' accounts are locked, the function reads what is committed
-- by then (each query of a volatile function has its own snapshot). A transaction that moves a card's balance away, or
-- erases its person, changes the card before it locks the account, and one that charges a ride locks the account first,
-- so that one of the two sees the other.

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
