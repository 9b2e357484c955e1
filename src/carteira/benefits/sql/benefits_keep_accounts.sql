-- Raise CB002 unless the accounts are still as they were when their top-ups were decided: open, and of these employers
-- and people. They are locked against changes until the transaction ends.

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
