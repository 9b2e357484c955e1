-- Return true if the catalog is at the version that the caller decided with; else raise CB001, so that the statement it
-- stands in writes nothing and the authorizer decides again.

CREATE FUNCTION benefits_require_catalog(known bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF known IS DISTINCT FROM (SELECT version FROM benefits_catalog_version) THEN
        RAISE EXCEPTION 'the catalog has changed' USING ERRCODE = 'CB001';
    END IF;
    RETURN true;
END $$;
