-- Allow the access log's head to advance only, by one access at a time.

CREATE FUNCTION credit_check_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq <> OLD.seq + 1 THEN
        RAISE EXCEPTION 'the head of the access log goes forward by one' USING ERRCODE = 'CA010';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER forward_only BEFORE UPDATE ON credit_access_head
FOR EACH ROW EXECUTE FUNCTION credit_check_head();
