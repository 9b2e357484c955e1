-- Refuse changes of a closed month's credits and of the adjustments in it. The function is the ledger's
-- (ledger_refuse.sql).

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON resellers_closings
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON resellers_adjustment_parts
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
