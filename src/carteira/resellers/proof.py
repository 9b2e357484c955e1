"""The policy for declared CPFs (`UNPROVEN_CPF`), applied wherever they would earn cashback."""

from collections.abc import Collection
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import Principal
from carteira.kit.web.state import StateKey
from carteira.resellers.resellers import ResellerView

UnprovenCpf = Literal["allow", "refuse"]
"""`refuse`: an unproven CPF gets no automatic approval, accumulated cashback, or purchase by an operator."""
UNPROVEN_CPF = StateKey[UnprovenCpf]("unproven_cpf")
_DETAIL = (
    "O CPF deste revendedor ainda não foi comprovado. Ele pode comprovar com uma conta gov.br prata ou ouro, ou "
    "apresentando um documento com foto a um operador."
)


UnprovenCpfDep = Annotated[UnprovenCpf, Depends(UNPROVEN_CPF)]
"""A route parameter: the policy for unproven CPFs."""


async def earning(tx: Tx, policy: UnprovenCpf, user_ids: Collection[UUID]) -> frozenset[UUID]:
    """Return the ids, among `user_ids`, of people whose CPF the policy accepts."""
    return frozenset(user_ids) if policy == "allow" else await identity.proven_among(tx, user_ids)


async def require_proven(tx: Tx, policy: UnprovenCpf, reseller: ResellerView) -> None:
    """Require that the policy accepts a signed-in reseller's CPF.

    Raises:
        CpfNotProven: it is not proven, and the policy refuses it.
    """
    if reseller.user_id is None or not await earning(tx, policy, [reseller.user_id]):
        raise identity.CpfNotProven


async def require_proven_of_another(tx: Tx, policy: UnprovenCpf, who: Principal, reseller: ResellerView) -> bool:
    """Require that an operator enters purchases for proven CPFs only; return whether the policy accepts the CPF.

    Raises:
        CpfNotProven: the reseller is another person, their CPF is not proven, and the policy refuses it.
    """
    earns = reseller.user_id is not None and bool(await earning(tx, policy, [reseller.user_id]))
    if not earns and reseller.user_id != who.id:
        raise identity.CpfNotProven(_DETAIL)
    return earns
