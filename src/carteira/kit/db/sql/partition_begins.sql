-- Return the instant at which a table's last partition begins, which has no end (`<table>_later`): all months before it
-- exist. Null if there is no such partition.

CREATE FUNCTION partition_begins(wanted text) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    SELECT to_timestamp(('x' || lpad(replace(left(found, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)
    FROM pg_class, substring(pg_get_expr(relpartbound, oid) FROM 'FROM \(''([0-9a-f-]{36})''\)') AS found
    WHERE relnamespace = 'public'::regnamespace AND relname = wanted || '_later' AND relispartition
$$;
