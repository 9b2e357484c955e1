"""The roles that ship, and what of them stays. Migrations seed them; a house test compares.

A migration that adds a claim calls `identity_seed_claim('x:read', 'administrador', 'auditor')`: everybody who has one
of the roles gets it at once, or nobody could ever give it. The rows below say the same.
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
"""What each role brings as it ships, beside the citizen's (nothing) and the administrator's (every claim that is no
self-service). An operator may change these; the other two keep their names, and the administrator's its claims."""

FIXED = frozenset({CITIZEN, ADMINISTRATOR})
"""Roles that code asks for by name."""


def roles_of(claim: str) -> list[str]:
    """Name the roles that bring a claim as they ship."""
    if claim in SELF_SERVICE:
        return []
    return [ADMINISTRATOR, *(role for role, claims in ROLES.items() if claim in claims)]
