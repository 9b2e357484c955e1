-- Return the least UUIDv7 of an instant, at which a month's partition begins: earlier ids sort below it.

CREATE FUNCTION partition_bound(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;
