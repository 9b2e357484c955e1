-- Refuse to rename or delete a claim that the code checks, and to name a claim `*`, which stands for every claim.
CREATE FUNCTION identity_keep_claims() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.built_in
       AND (TG_OP = 'DELETE' OR NEW.description <> OLD.description OR NOT NEW.built_in) THEN
        RAISE EXCEPTION '% on claim % refused: it is the product''s', TG_OP, OLD.description USING ERRCODE = 'CA102';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.description = '*' AND (TG_OP = 'INSERT' OR OLD.description <> '*') THEN
        RAISE EXCEPTION 'no claim is called *' USING ERRCODE = 'CA102';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER keep_claims BEFORE INSERT OR UPDATE OR DELETE ON claims
FOR EACH ROW EXECUTE FUNCTION identity_keep_claims();
