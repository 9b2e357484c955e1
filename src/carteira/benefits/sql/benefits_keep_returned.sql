-- Raise CB003 unless the returned amount of a decision is still the one with which its refund was decided. Returns of
-- one decision are serialised by `ledger.lock_entry`.

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
