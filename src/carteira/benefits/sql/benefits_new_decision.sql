-- A decision on its way into benefits_decisions: the authorizer sends a batch as one array of these. The fields are
-- those of `rules.Decision`, in its order.

CREATE TYPE benefits_new_decision AS (
    id uuid, external_id text, account_id uuid, account text, amount bigint, mcc text, merchant text,
    fallback boolean, code text, reason text, category_tried text, category_used text, rule text, short_by bigint
);
