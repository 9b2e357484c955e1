-- Refuse changes of the audit log and its chain.

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: the audit is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CA101';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

CREATE TRIGGER append_only BEFORE TRUNCATE ON audit_chain
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
