"""How a person is found by what they type to sign in."""

from sqlalchemy import ColumnElement, func

from carteira.identity.models import User
from carteira.kit.values.cpf import InvalidCpf, parse_cpf
from carteira.kit.values.texts import compact, look_alike, trim, without_unseen
from carteira.kit.web.problems import InvalidInput

_MOSTLY_DIGITS = 8
"""Of eleven: who types so many means a CPF."""


def normal_name(name: str) -> str:
    """Return a login name in its one spelling: a CPF's digits, else an e-mail address in lower case.

    Blanks around it go, those that cannot be seen too.
    """
    bare = without_unseen(trim(name)).replace("\0", "")
    try:
        return parse_cpf(bare)
    except InvalidCpf:
        return bare.lower()


def refuse_look_alikes(name: str) -> None:
    """Tell who types a login name of a sign in it that only looks like one of a CPF or an address: nobody has such one.

    Raises:
        InvalidInput: there is such a sign, and which.
    """
    bare = compact(name) if "@" not in name else without_unseen(trim(name))
    is_number = "@" not in bare and sum(sign.isdigit() for sign in bare) >= _MOSTLY_DIGITS
    told = look_alike(bare, letters=not is_number) if is_number or not bare.isascii() else ""
    if told:
        raise InvalidInput(errors=[{"field": "username", "message": told.strip()}])


def by_login(name: str) -> ColumnElement[bool]:
    """Give the condition on `User` for what a person typed: a CPF, else an e-mail address."""
    normal = normal_name(name)
    return func.lower(User.email) == normal if "@" in normal else User.cpf == normal
