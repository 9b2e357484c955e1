"""Accumulated cashback: who may ask for whose, then the external service, with no transaction open meanwhile."""

from carteira.kit.db.engine import Database
from carteira.kit.web.access import Principal
from carteira.resellers import resellers
from carteira.resellers.cashback_service import CashbackService
from carteira.resellers.schemas import AccumulatedOut


async def accumulated(database: Database, service: CashbackService, who: Principal, cpf: str | None) -> AccumulatedOut:
    """Give the accumulated cashback of oneself, or of any CPF with `purchases:read`.

    Raises:
        Forbidden, NotAReseller: it is not the caller's own and the claim is missing.
        CashbackServiceDown: the external service gave no answer that can be trusted.
    """
    if cpf is None or not who.may("purchases:read"):
        async with database.transaction() as tx:
            cpf = (await resellers.visible(tx, who, cpf)).cpf
        assert cpf is not None, "who is signed in has not been erased"
    return AccumulatedOut(cpf=cpf, credit=await service.credit(cpf))
