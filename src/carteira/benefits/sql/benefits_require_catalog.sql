-- Return true if the catalog has the version that the caller decided with; else raise CB001, so that the statement that
-- calls the function writes nothing and the authorizer decides again.

CREATE FUNCTION benefits_require_catalog(known bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF known IS DISTINCT FROM (SELECT version FROM benefits_catalog_version) THEN
        RAISE EXCEPTION 'the catalog has changed' USING ERRCODE = 'CB001';
    END IF;
    RETURN true;
END $$;
