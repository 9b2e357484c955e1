-- Allow to delete only declined decisions that are five years old; approved ones explain entries of the ledger.

CREATE FUNCTION benefits_keep_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.code <> '00' AND OLD.created_at < now() - interval '5 years' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'DELETE on % refused: the ledger is append-only', TG_TABLE_NAME USING ERRCODE = 'CA002';
END $$;

CREATE TRIGGER keep_decisions BEFORE DELETE ON benefits_decisions
FOR EACH ROW EXECUTE FUNCTION benefits_keep_decisions();
