-- Make what a table lacks of the partitions of this month and the three that come; give how many were made.
--
-- The last partition has no end, so that a row always finds a place, and a list by id is read partition by partition
-- from the newest on (which a DEFAULT partition would not let the planner do). It is empty as long as months are made in
-- time, and gives way to new ones: that locks the table for an instant, and waits for the lock no longer than half a
-- second, since everybody else waits behind it. If nobody made months for long and rows lie in it, it is read whole
-- under the lock, and becomes one partition for all that time.
--
-- The function runs as the owner of the tables: who serves makes nothing. What it makes follows from the clock alone.
--
-- Raises CA301 if there is no such table, CA302 if rows lie in the last partition that are too many or have ids of a
-- time that is still to come.

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
    begins := partition_begins(wanted); -- another may have been faster
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
