-- Return the column by whose ranges a table is partitioned.

CREATE FUNCTION partition_key(wanted text) RETURNS text LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT attname::text FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
    WHERE partrelid = to_regclass(format('public.%I', wanted))
$$;
