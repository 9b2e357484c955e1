-- Return, for each partitioned table, how many whole months exist after this one, and whether its last partition, which
-- has no end, has rows: then months were not made in time.
--
-- It runs as the owner of the tables, since no other role may read a partition by its name.

CREATE FUNCTION partition_states() RETURNS TABLE (name text, months_ahead integer, is_beyond boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    FOR name, months_ahead IN
        SELECT relname::text,
               (extract(year FROM begins) - extract(year FROM now())) * 12
                   + extract(month FROM begins) - extract(month FROM now()) - 1
        FROM pg_class, partition_begins(relname) AS begins
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'p' AND begins IS NOT NULL
        ORDER BY relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name || '_later') INTO is_beyond;
        RETURN NEXT;
    END LOOP;
END $$;
