-- Analyze a partitioned table as a whole: autovacuum analyzes its partitions only. Runs as the owner of the tables,
-- since other roles may not analyze them.
--
-- Raises CA301 if the table does not exist.

CREATE FUNCTION partition_analyze(wanted text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    IF partition_begins(wanted) IS NULL THEN
        RAISE EXCEPTION '% has no partitions', wanted USING ERRCODE = 'CA301';
    END IF;
    -- ONLY needs PostgreSQL 18; 17 analyzes the partitions, too.
    EXECUTE format('ANALYZE %s public.%I',
                   CASE WHEN current_setting('server_version_num')::integer >= 180000 THEN 'ONLY' ELSE '' END, wanted);
END $$;
