-- Check that a return's decision exists. A foreign key would forbid to detach a month of decisions whose returns stay,
-- and to make a new partition while somebody writes returns.

CREATE FUNCTION benefits_check_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM benefits_decisions WHERE id = NEW.decision_id) THEN
        RAISE EXCEPTION 'return % is of no decision', NEW.id USING ERRCODE = '23503';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_return AFTER INSERT OR UPDATE OF decision_id ON benefits_returns
FOR EACH ROW EXECUTE FUNCTION benefits_check_return();
