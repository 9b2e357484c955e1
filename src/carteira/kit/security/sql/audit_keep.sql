-- Refuse to delete audit rows of the last five years, by any role; a block whose rows are deleted keeps its hash.

CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lasts_until CONSTANT timestamptz := now() - interval '5 years';
BEGIN
    IF TG_TABLE_NAME <> 'audit_chain' THEN -- a partition of the log's
        IF OLD.created_at < lasts_until THEN
            RETURN OLD;
        END IF;
    ELSIF OLD.newest_at < lasts_until THEN
        IF TG_OP = 'DELETE' THEN
            IF OLD.seals IS NULL THEN
                RETURN OLD;
            END IF;
        ELSIF NEW.seals IS NULL AND to_jsonb(NEW) - 'seals' = to_jsonb(OLD) - 'seals' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: the audit is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CA101';
END $$;

CREATE TRIGGER keep BEFORE DELETE ON audit_log
FOR EACH ROW EXECUTE FUNCTION audit_keep();

CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit_chain
FOR EACH ROW EXECUTE FUNCTION audit_keep();
