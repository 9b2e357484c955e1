"""How a person is found by what they type to sign in."""

from sqlalchemy import ColumnElement, func

from carteira.identity.models import User
from carteira.kit.values.cpf import InvalidCpf, parse_cpf
from carteira.kit.values.texts import trim


def normal_name(name: str) -> str:
    """Return a login name in its one spelling: a CPF's digits, else an e-mail address in lower case.

    Blanks around it go, those that cannot be seen too.
    """
    bare = trim(name).replace("\0", "")
    try:
        return parse_cpf(bare)
    except InvalidCpf:
        return bare.lower()


def by_login(name: str) -> ColumnElement[bool]:
    """Give the condition on `User` for what a person typed: a CPF, else an e-mail address."""
    normal = normal_name(name)
    return func.lower(User.email) == normal if "@" in normal else User.cpf == normal
