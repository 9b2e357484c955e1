-- Copy the processor's own ids of transactions into a narrow table, where they are unique for ever, with their
-- decisions. A trigger does it, so that servers of a former release do it too. The id of a deleted decision stays
-- taken.

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
