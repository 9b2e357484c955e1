-- Protect a partition like its table, for statements that name the partition: with the same statement triggers, which
-- fire only for the table that a statement names, and with rights for its owner alone. PostgreSQL copies row triggers.

CREATE FUNCTION partition_keep(parent text, part text) RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    known record;
BEGIN
    FOR known IN
        SELECT replace(pg_get_triggerdef(oid), format(' ON public.%I ', parent), format(' ON public.%I ', part)) AS made
        FROM pg_trigger
        WHERE tgrelid = format('public.%I', parent)::regclass AND NOT tgisinternal AND tgtype & 1 = 0
          AND tgname NOT IN (SELECT tgname FROM pg_trigger WHERE tgrelid = format('public.%I', part)::regclass)
        ORDER BY tgname
    LOOP
        EXECUTE known.made;
    END LOOP;
    FOR known IN
        SELECT DISTINCT CASE held.grantee WHEN 0 THEN 'PUBLIC' ELSE held.grantee::regrole::text END AS role
        FROM pg_class, aclexplode(relacl) AS held
        WHERE pg_class.oid = format('public.%I', part)::regclass AND held.grantee <> relowner
    LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM %s', part, known.role);
    END LOOP;
END $$;
