"""Accumulated cashback: the check of rights, then the external service, without an open transaction."""

from carteira.kit.db.engine import Database
from carteira.kit.security import audit
from carteira.kit.web.access import Principal
from carteira.resellers import resellers
from carteira.resellers.cashback_service import CashbackService
from carteira.resellers.errors import NoCpf, ResellerNotFound
from carteira.resellers.proof import UnprovenCpf, require_proven
from carteira.resellers.schemas import AccumulatedOut

LOOK = "cashback_accumulated_read"


async def accumulated(
    database: Database, service: CashbackService, policy: UnprovenCpf, who: Principal, cpf: str | None
) -> AccumulatedOut:
    """Return the accumulated cashback of oneself, or of any CPF with `purchases:read`.

    Raises:
        Forbidden, NotAReseller: it is not the caller's own and the claim is missing.
        NoCpf: the caller has no CPF.
        CpfNotProven: the caller's CPF is not proven, and the policy refuses it.
        CashbackServiceDown: the external service gave no reliable answer.
    """
    async with database.transaction() as tx:
        if cpf is not None and who.may("purchases:read"):
            try:
                await resellers.visible(tx, who, cpf, look=LOOK)
            except ResellerNotFound:  # the external service may know a CPF that has no reseller here
                await audit.record(tx, LOOK, reseller=False)
        else:
            own = await resellers.visible(tx, who, cpf, look=LOOK)
            if own.cpf is None:
                raise NoCpf
            await require_proven(tx, policy, own)
            cpf = own.cpf
    return AccumulatedOut(cpf=cpf, credit=await service.credit(cpf))
