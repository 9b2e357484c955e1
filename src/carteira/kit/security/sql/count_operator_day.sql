-- Count an amount against an operator's daily ceiling, as `approvals.count` does, within the statement that moves it.
-- Raises CA303 if too little of the ceiling is left.

CREATE FUNCTION count_operator_day(
    of_kind text, of_id text, of_limit text, on_day date, counted bigint, daily bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF daily IS NULL OR counted = 0 THEN
        RETURN true;
    END IF;
    IF counted <= daily THEN
        INSERT INTO operator_days AS known (actor_kind, actor_id, limit_name, day, amount)
        VALUES (of_kind, of_id, of_limit, on_day, counted)
        ON CONFLICT (actor_kind, actor_id, limit_name, day) DO UPDATE SET amount = known.amount + excluded.amount
        WHERE known.amount + excluded.amount <= daily;
        IF FOUND THEN
            RETURN true;
        END IF;
    END IF;
    RAISE EXCEPTION 'too little is left of the day' USING ERRCODE = 'CA303';
END $$;
