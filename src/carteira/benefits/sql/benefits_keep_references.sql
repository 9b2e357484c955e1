-- Keep the processor's own ids of transactions in a narrow table, unique for good, with the decisions that have them:
-- whoever writes decisions, a server of a former release included. A declined decision that is deleted after its years
-- leaves its id taken.

CREATE FUNCTION benefits_keep_references() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO benefits_references (external_id, decision_id)
    SELECT external_id, id FROM inserted WHERE external_id IS NOT NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER keep_references AFTER INSERT ON benefits_decisions
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION benefits_keep_references();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON benefits_references
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON benefits_reversals
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
