-- Refuse changes: entries, postings and the hash chain are only appended to; accounts and holds may change, but are not
-- deleted. Append-only tables of other modules use the function, too.

CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: the ledger is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CA002';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_postings
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_keys
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_reversals
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_chain
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger_accounts
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger_holds
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
