"""kit: the claim of who approves operations that move money; the administrators of before hold it as those to come."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute("INSERT INTO claims (description) VALUES ('money:approve') ON CONFLICT DO NOTHING")
    op.execute("""
        INSERT INTO role_claims (role_id, claim_id)
        SELECT roles.id, claims.id FROM roles CROSS JOIN claims
        WHERE roles.description = 'administrador' AND claims.description = 'money:approve'
        ON CONFLICT DO NOTHING
    """)
    op.execute("""
        INSERT INTO user_claims (user_id, claim_id, from_role)
        SELECT users.id, claims.id, true
        FROM users JOIN roles ON roles.id = users.role_id CROSS JOIN claims
        WHERE roles.description = 'administrador' AND users.erased_at IS NULL AND claims.description = 'money:approve'
        ON CONFLICT DO NOTHING
    """)
