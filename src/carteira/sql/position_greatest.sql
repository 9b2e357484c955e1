-- Return the greatest position that any module stores. A new column with positions is added here; a test compares. Each
-- column costs one look-up at the end of an index.

CREATE FUNCTION position_greatest() RETURNS bigint LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT greatest(
        0,
        (SELECT max(xid) FROM events),
        (SELECT max(xid) FROM event_followers),
        (SELECT max(xid) FROM audit_log),
        (SELECT last_xid FROM audit_chain ORDER BY height DESC LIMIT 1),
        (SELECT max(xid) FROM ledger_entries),
        (SELECT last_xid FROM ledger_chain ORDER BY height DESC LIMIT 1),
        (SELECT max(rolled_up_to) FROM ledger_accounts WHERE is_system),
        (SELECT max(xid) FROM ledger_checks),
        (SELECT max(xid) FROM benefits_decisions),
        (SELECT max(xid) FROM benefits_returns)));
END $$;
