-- Bring up to date what the planner knows of a table as a whole: of its partitions PostgreSQL sees to it by itself, of
-- the table they are part of it does not. Runs as the owner of the tables, since others may not.
--
-- Raises CA301 if there is no such table.

CREATE FUNCTION partition_analyze(wanted text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    IF partition_begins(wanted) IS NULL THEN
        RAISE EXCEPTION '% has no partitions', wanted USING ERRCODE = 'CA301';
    END IF;
    -- ONLY is PostgreSQL 18's; 17 looks at the partitions again too.
    EXECUTE format('ANALYZE %s public.%I',
                   CASE WHEN current_setting('server_version_num')::integer >= 180000 THEN 'ONLY' ELSE '' END, wanted);
END $$;
