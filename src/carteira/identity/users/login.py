"""How a person is found by what they type to sign in."""

from sqlalchemy import ColumnElement, func

from carteira.identity.models import User
from carteira.kit.values.cpf import InvalidCpf, parse_cpf


def by_login(name: str) -> ColumnElement[bool]:
    """Give the condition on `User` for what a person typed: a CPF, else an e-mail address."""
    try:
        return User.cpf == parse_cpf(name)
    except InvalidCpf:
        return func.lower(User.email) == name.strip().lower().replace("\0", "")
