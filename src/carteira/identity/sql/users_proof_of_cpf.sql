-- A proof is of one CPF: an update that changes the CPF and sets no new proof removes the proof.

CREATE FUNCTION users_proof_of_cpf() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.cpf IS DISTINCT FROM OLD.cpf AND NEW.cpf_proven_at IS NOT DISTINCT FROM OLD.cpf_proven_at THEN
        NEW.cpf_proven_at := NULL;
        NEW.cpf_proven_by := NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER proof_of_cpf BEFORE UPDATE OF cpf ON users
FOR EACH ROW EXECUTE FUNCTION users_proof_of_cpf();
