"""Becoming a reseller: by registering a person, or signed in with no more to tell."""

from carteira.kit.access import Principal
from carteira.kit.problems import InvalidInput, NotAuthenticated
from carteira.kit.tx import Database
from carteira.resellers import resellers
from carteira.resellers.people import People
from carteira.resellers.schemas import ResellerIn, ResellerOut


async def register(
    database: Database, people: People, visitor: Principal | None, body: ResellerIn | None
) -> ResellerOut:
    """Register a person as a reseller, or make the signed-in one a reseller.

    The password is hashed before the transaction begins: it takes a while.

    Raises:
        NotAuthenticated: neither a body nor a token.
        InvalidInput: both.
        Conflict: the e-mail or CPF is taken, or the person is a reseller already.
    """
    if body is None:
        if visitor is None:
            raise NotAuthenticated
        async with database.transaction() as tx:
            return await resellers.become(tx, people, visitor)
    if visitor is not None:
        raise InvalidInput("Você já tem cadastro: para se tornar revendedor, envie o pedido sem corpo.")
    password_hash = await people.prepare_password(body.password, personal=(body.email, body.cpf))
    async with database.transaction() as tx:
        return await resellers.register(tx, people, body, password_hash)
