-- Raise CT001 unless the cards are still as they were when the rides were decided: their owners, when they were
-- cancelled, and how many times they were blocked and unblocked. They are locked against changes until the transaction
-- ends.

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
