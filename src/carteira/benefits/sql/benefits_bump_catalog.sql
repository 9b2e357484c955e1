-- Give the catalog a new version whenever a category, a merchant category code, a merchant or the state of an account
-- changes; benefits_require_catalog compares it.

CREATE FUNCTION benefits_bump_catalog() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE benefits_catalog_version SET version = version + 1;
    RETURN NULL;
END $$;

CREATE TRIGGER bump_catalog AFTER INSERT OR UPDATE OR DELETE ON benefits_categories
FOR EACH STATEMENT EXECUTE FUNCTION benefits_bump_catalog();

CREATE TRIGGER bump_catalog AFTER INSERT OR UPDATE OR DELETE ON benefits_mccs
FOR EACH STATEMENT EXECUTE FUNCTION benefits_bump_catalog();

CREATE TRIGGER bump_catalog AFTER INSERT OR UPDATE OR DELETE ON benefits_merchants
FOR EACH STATEMENT EXECUTE FUNCTION benefits_bump_catalog();

CREATE TRIGGER bump_catalog AFTER UPDATE OF state ON benefits_accounts
FOR EACH STATEMENT EXECUTE FUNCTION benefits_bump_catalog();
