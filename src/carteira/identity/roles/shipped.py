"""The roles that ship. Migrations seed them; a house test compares.

A migration that adds a claim calls `identity_seed_claim('x:read', 'administrador', 'auditor')`: everybody with one of
the roles gets it at once, since otherwise nobody could ever grant it. The rows below must agree.
"""

from collections.abc import Mapping

from carteira.identity.sessions.standing import SELF_SERVICE

CITIZEN = "cidadão"
ADMINISTRATOR = "administrador"

ROLES: Mapping[str, frozenset[str]] = {
    "RH": frozenset({"benefits:fund", "benefits:read", "benefits:write", "lists:export"}),
    "atendente": frozenset(
        {
            "assistant:read",
            "assistant:write",
            "benefits:read",
            "data_requests:write",
            "documents:review",
            "identity:prove",
            "payments:read",
            "payments:return",
            "purchases:read",
            "transit:recharge",
            "transit:review",
            "users:read",
            "users:suspend",
        }
    ),
    "aprovador": frozenset({"lists:export", "money:approve", "purchases:approve", "purchases:read"}),
    "analista de crédito": frozenset(
        {
            "credit:a:read",
            "credit:b:read",
            "credit:c:read",
            "credit:models:read",
            "credit:models:write",
            "credit:outcomes:write",
        }
    ),
    "auditor": frozenset(
        {
            "audit:read",
            "benefits:read",
            "credit:audit",
            "credit:models:read",
            "house:read",
            "ledger:read",
            "lists:export",
            "payments:read",
            "purchases:read",
            "users:read",
        }
    ),
}
"""The claims of each shipped role, except the citizen's (none) and the administrator's (every claim that is no
self-service claim). Operators may change these; the other two keep their names, and the administrator's its claims."""

FIXED = frozenset({CITIZEN, ADMINISTRATOR})
"""Roles that the code uses by name."""


def roles_of(claim: str) -> list[str]:
    """Return the shipped roles that grant a claim."""
    if claim in SELF_SERVICE:
        return []
    return [ADMINISTRATOR, *(role for role, claims in ROLES.items() if claim in claims)]
