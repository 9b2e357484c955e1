"""identity: claims and roles that are the product's, the roles that ship, and how a migration adds a claim.

`transit:validate` was an operator's to make: who holds it keeps it. The administrators get every claim that is new
here, or nobody could grant it. The triggers keep the names that the code asks for, and that no claim is called `*`; one
that is called so already stays, can be turned off, and is granted by nobody. The index on people's roles covers a
narrow column: a million are built in a second.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

SEEDED = (
    "users:read", "users:write", "users:export", "users:cpf",
    "ledger:read", "ledger:write",
    "benefits:read", "benefits:write",
    "purchases:read", "purchases:write", "purchases:approve",
    "credit:a:read", "credit:a:write", "credit:b:read", "credit:b:write", "credit:c:read", "credit:c:write",
    "credit:audit",
    "assistant:read", "assistant:write",
    "documents:review", "identity:prove", "transit:validate", "clients:read", "clients:write",
    "money:approve", "reseller",
)  # fmt: skip

NEW = ("assistant:read", "assistant:write", "documents:review", "identity:prove", "transit:validate", "users:suspend")
"""Claims that administrators may lack: those of `users:suspend`'s age, and those that were given to the role alone."""

SEED_CLAIM = """
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
"""

KEEP_CLAIMS = (
    """
CREATE FUNCTION identity_keep_claims() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.built_in
       AND (TG_OP = 'DELETE' OR NEW.description <> OLD.description OR NOT NEW.built_in) THEN
        RAISE EXCEPTION '% on claim % refused: it is the product''s', TG_OP, OLD.description USING ERRCODE = 'CA102';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.description = '*' AND (TG_OP = 'INSERT' OR OLD.description <> '*') THEN
        RAISE EXCEPTION 'no claim is called *' USING ERRCODE = 'CA102';
    END IF;
    RETURN NEW;
END
$$;
    """,
    """
CREATE TRIGGER keep_claims BEFORE INSERT OR UPDATE OR DELETE ON claims
FOR EACH ROW EXECUTE FUNCTION identity_keep_claims();
    """,
)

ROLES = {
    "RH": ("benefits:read", "benefits:write"),
    "atendente": (
        "assistant:read",
        "assistant:write",
        "benefits:read",
        "documents:review",
        "identity:prove",
        "purchases:read",
        "users:read",
        "users:suspend",
    ),
    "aprovador": ("money:approve", "purchases:approve", "purchases:read"),
    "analista de crédito": ("credit:a:read", "credit:b:read", "credit:c:read"),
    "auditor": ("benefits:read", "credit:audit", "ledger:read", "purchases:read", "users:read"),
}


def upgrade() -> None:
    for table in ("claims", "roles"):
        op.add_column(table, sa.Column("built_in", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("UPDATE roles SET built_in = true WHERE description IN ('cidadão', 'administrador')")
    op.execute("INSERT INTO claims (description) VALUES ('transit:validate') ON CONFLICT DO NOTHING")
    claims = sa.table("claims", sa.column("description", sa.Text()), sa.column("built_in", sa.Boolean()))
    op.execute(claims.update().where(claims.c.description.in_(SEEDED)).values(built_in=True))
    op.execute(SEED_CLAIM)
    for claim in NEW:
        op.execute(f"SELECT identity_seed_claim('{claim}', 'administrador')")
    for role, brought in ROLES.items():
        _add_role(role, brought)
    for statement in KEEP_CLAIMS:
        op.execute(statement)
    op.create_index("ix_users_role_id", "users", ["role_id"])


def _add_role(role: str, brought: tuple[str, ...]) -> None:
    """Add a role that ships; one that an operator made under its name stays theirs."""
    names = ", ".join(f"'{claim}'" for claim in brought)
    op.execute(f"""
        WITH made AS (
            INSERT INTO roles (description, built_in) VALUES ('{role}', true) ON CONFLICT DO NOTHING RETURNING id
        )
        INSERT INTO role_claims (role_id, claim_id)
        SELECT made.id, claims.id FROM made CROSS JOIN claims WHERE claims.description IN ({names})
    """)  # noqa: S608 - a constant
