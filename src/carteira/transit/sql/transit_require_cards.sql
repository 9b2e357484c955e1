-- Raise CT001 unless each card is active and its person's, and the persons of `debtless` owe no ride. Servers of
-- releases without `transit_settle` call it during an upgrade.
--
-- The caller decided with cached data. Called when the cards' accounts are locked, the function reads what is committed
-- by then (each query of a volatile function has its own snapshot). A transaction that moves a card's balance away, or
-- erases its person, changes the card before it locks the account, so that one of the two sees the other.

CREATE FUNCTION transit_require_cards(cards uuid[], owners uuid[], debtless uuid[]) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM unnest(cards, owners) AS known (card_id, owner_id)
        WHERE NOT EXISTS (
            SELECT FROM transport_cards card
            WHERE card.id = known.card_id AND card.user_id = known.owner_id AND card.status = 'active')
    ) OR EXISTS (
        SELECT FROM transit_taps tap WHERE tap.user_id = ANY (debtless) AND tap.outstanding > 0
    ) THEN
        RAISE EXCEPTION 'a card is not as it was' USING ERRCODE = 'CT001';
    END IF;
    RETURN true;
END $$;
