-- Refuse changes of the log of accesses, and that the row with its head is deleted.

CREATE FUNCTION credit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: the access log is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'CA010';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_accesses
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse();

CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON credit_access_head
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse();
