"""Finds a person by their login name."""

from sqlalchemy import ColumnElement, func

from carteira.identity.models import User
from carteira.kit.values.cpf import InvalidCpf, parse_cpf
from carteira.kit.values.texts import compact, look_alike, trim, without_unseen
from carteira.kit.web.problems import InvalidInput

_MOSTLY_DIGITS = 8
"""Digits out of eleven from which on a name counts as a CPF."""


def normal_name(name: str) -> str:
    """Return a normalised login name: a CPF's digits, else an e-mail address in lower case.

    Surrounding blanks are removed, invisible ones too.
    """
    bare = without_unseen(trim(name)).replace("\0", "")
    try:
        return parse_cpf(bare)
    except InvalidCpf:
        return bare.lower()


def refuse_look_alikes(name: str) -> None:
    """Refuse a login name with a character that only looks like one of a CPF or an address: no account has it.

    Raises:
        InvalidInput: there is one; the message names it.
    """
    bare = compact(name) if "@" not in name else without_unseen(trim(name))
    is_number = "@" not in bare and sum(sign.isdigit() for sign in bare) >= _MOSTLY_DIGITS
    message = look_alike(bare, letters=not is_number) if is_number or not bare.isascii() else ""
    if message:
        raise InvalidInput(errors=[{"field": "username", "message": message.strip()}])


def by_login(name: str) -> ColumnElement[bool]:
    """Return the condition on `User` for a login name: a CPF, else an e-mail address."""
    normal = normal_name(name)
    return func.lower(User.email) == normal if "@" in normal else User.cpf == normal
