-- Give when the last partition of a table begins, the one with no end (`<table>_later`): up to there its months are
-- made. Null if there is none.

CREATE FUNCTION partition_begins(wanted text) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    SELECT to_timestamp(('x' || lpad(replace(left(found, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)
    FROM pg_class, substring(pg_get_expr(relpartbound, oid) FROM 'FROM \(''([0-9a-f-]{36})''\)') AS found
    WHERE relnamespace = 'public'::regnamespace AND relname = wanted || '_later' AND relispartition
$$;
