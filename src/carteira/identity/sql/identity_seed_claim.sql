-- Add a claim that the code checks, and grant it to roles and to everybody who has them: nobody could grant a claim
-- that nobody holds. A claim of that name that an operator made before gave no right; its holders lose it.
CREATE FUNCTION identity_seed_claim(claim text, VARIADIC given_to text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    seeded integer;
BEGIN
    SELECT id INTO seeded FROM claims WHERE description = claim AND NOT built_in;
    IF FOUND THEN
        DELETE FROM user_claims WHERE claim_id = seeded;
        DELETE FROM role_claims WHERE claim_id = seeded;
    END IF;
    INSERT INTO claims (description, built_in) VALUES (claim, true)
    ON CONFLICT (description) DO UPDATE SET built_in = true, active = claims.active OR NOT claims.built_in
    RETURNING id INTO seeded;
    INSERT INTO role_claims (role_id, claim_id)
    SELECT id, seeded FROM roles WHERE built_in AND description = ANY (given_to)
    ON CONFLICT DO NOTHING;
    INSERT INTO user_claims (user_id, claim_id, from_role)
    SELECT person.id, seeded, true FROM users person JOIN roles ON roles.id = person.role_id
    WHERE roles.built_in AND roles.description = ANY (given_to) AND person.erased_at IS NULL
    ON CONFLICT DO NOTHING;
END
$$;
