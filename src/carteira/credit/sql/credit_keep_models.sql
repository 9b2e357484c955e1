-- Refuse changes of stored models of the score, and of the record which model was chosen when.

CREATE FUNCTION credit_keep_models() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: models and their choices are append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'CA010';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_models
FOR EACH STATEMENT EXECUTE FUNCTION credit_keep_models();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_model_choices
FOR EACH STATEMENT EXECUTE FUNCTION credit_keep_models();
