-- Create the missing partitions of this month and the next three; return how many were created.
--
-- The last partition has no end, so that a row always finds a place, and a list by id is read partition by partition
-- from the newest on (which a DEFAULT partition would not let the planner do). It is empty as long as months are made
-- in time, and is replaced when new ones are made: that locks the table for an instant, and waits for the lock for at
-- most half a second, since everybody else waits behind it. If months were not made in time and it has rows, it is read
-- whole under the lock, and becomes one partition for all that time.
--
-- The function runs as the owner of the tables, since the serving role may create nothing. The clock alone decides
-- which partitions it creates.
--
-- Raises CA301 if the table does not exist, CA302 if the last partition has too many rows or ids of a future time.

CREATE FUNCTION partition_make(wanted text) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '500ms' SET timezone = 'UTC' AS $$
DECLARE
    upto constant timestamptz := date_trunc('month', now()) + interval '4 months';
    tail constant text := wanted || '_later';
    begins timestamptz;
    part text;
    made integer := 0;
    is_used boolean;
    is_strange boolean;
BEGIN
    IF partition_begins(wanted) IS NULL THEN
        RAISE EXCEPTION '% has no partitions', wanted USING ERRCODE = 'CA301';
    ELSIF partition_begins(wanted) >= upto THEN
        RETURN 0;
    END IF;
    EXECUTE format('LOCK TABLE ONLY public.%I IN ACCESS EXCLUSIVE MODE', wanted);
    begins := partition_begins(wanted); -- another session may have created it meanwhile
    IF begins >= upto THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', tail) INTO is_used;
    IF is_used THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE %I >= %L)', wanted, partition_key(wanted),
                       partition_bound(upto)) INTO is_strange;
        IF is_strange OR pg_relation_size(format('public.%I', tail)::regclass) > 1000000000 THEN
            RAISE EXCEPTION 'the last partition of % holds rows', wanted USING ERRCODE = 'CA302',
                HINT = 'docs/explanation/scale.md says how it is closed by hand';
        END IF;
    END IF;

    EXECUTE format('ALTER TABLE public.%I DETACH PARTITION public.%I', wanted, tail);
    IF is_used THEN
        part := wanted || to_char(begins, '_YYYY_MM') || '_on';
        EXECUTE format('ALTER TABLE public.%I RENAME TO %I', tail, part);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', wanted, part,
                       partition_bound(begins), partition_bound(upto));
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (MAXVALUE)', tail,
                       wanted, partition_bound(upto));
        PERFORM partition_keep(wanted, tail);
        RETURN 1;
    END IF;
    WHILE begins < upto LOOP
        part := wanted || to_char(begins, '_YYYY_MM');
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)', part, wanted,
                       partition_bound(begins), partition_bound(begins + interval '1 month'));
        PERFORM partition_keep(wanted, part);
        begins := begins + interval '1 month';
        made := made + 1;
    END LOOP;
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (MAXVALUE)', wanted, tail,
                   partition_bound(begins));
    RETURN made;
END $$;
