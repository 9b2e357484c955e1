-- Return up to `at_most` postings of an account that a statement shows after the line with this key, newest first.
--
-- The settings allow only one plan: down the account's index from that line, so that a page costs the same for accounts
-- of ten and of ten million postings. Planned for an average account, it would read and sort all postings of this one.

CREATE FUNCTION ledger_lines(
    of_account uuid, at timestamptz, after_seq bigint, after_entry uuid, after_line bigint, at_most bigint
) RETURNS SETOF ledger_postings LANGUAGE plpgsql STABLE STRICT ROWS 20
SET enable_seqscan = off SET enable_sort = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT posting.* FROM ledger_postings posting
    WHERE posting.account_id = of_account AND posting.posted_at <= at
      AND (posting.posted_at, coalesce(posting.seq, 0), posting.entry_id, posting.line)
          < (at, after_seq, after_entry, after_line)
    ORDER BY posting.posted_at DESC, posting.seq DESC, posting.entry_id DESC, posting.line DESC
    LIMIT at_most;
END $$;
