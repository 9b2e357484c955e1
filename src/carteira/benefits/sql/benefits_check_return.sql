-- Prove that a return is of a decision that is there. A foreign key would keep a month of decisions from being detached
-- whose returns stay, and refuse each new partition's place while somebody writes returns.

CREATE FUNCTION benefits_check_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM benefits_decisions WHERE id = NEW.decision_id) THEN
        RAISE EXCEPTION 'return % is of no decision', NEW.id USING ERRCODE = '23503';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_return AFTER INSERT OR UPDATE OF decision_id ON benefits_returns
FOR EACH ROW EXECUTE FUNCTION benefits_check_return();
