-- Refuse changes of stored decisions. The function is the ledger's (ledger_refuse.sql).

CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON benefits_decisions
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
