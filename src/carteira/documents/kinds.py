"""Kinds of documents, and the checks of their numbers.

A check detects typing errors and never refuses an issued number: where sources differ on a rule, all variants are
accepted.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum

from carteira.kit.values.cpf import InvalidCpf, parse_cpf
from carteira.kit.values.texts import compact, look_alike


class DocumentType(StrEnum):
    """The kind of a document (rules.md, documents)."""

    RG = "RG"
    CPF = "CPF"
    CNH = "CNH"
    VACCINATION = "comprovante de vacinação"
    VOTER = "título de eleitor"
    PASSPORT = "passaporte"
    OTHER = "outro"


class InvalidNumber(ValueError):
    """A number fails the check of its document's kind; the text is fit to show a person."""


MAX_NUMBER = 64
_OTHER_NAMES = {"other": DocumentType.OTHER, "outros": DocumentType.OTHER}
_ELEVEN, _TWELVE, _THIRTEEN = 11, 12, 13
_SAO_PAULO_AND_MINAS = {"01", "02"}
_LAST_STATE = 28
"""Voters abroad."""


def _plain(text: str) -> str:
    """Return a name without case, accents and separators, so that "titulo_de_eleitor" finds its kind."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return re.sub(r"[\s_-]+", " ", bare).strip().casefold()


_BY_NAME = {_plain(kind): kind for kind in DocumentType} | _OTHER_NAMES


def parse_type(text: str) -> DocumentType | None:
    """Return the kind that a text names, regardless of accents and case."""
    return _BY_NAME.get(_plain(text)) if len(text) <= MAX_NUMBER else None


def _digits(text: str, name: str, *lengths: int) -> str:
    number = compact(text)
    if not re.fullmatch(r"[0-9]+", number, re.ASCII):
        raise InvalidNumber(f"{name} só tem números." + look_alike(number))
    if len(number) not in lengths:
        raise InvalidNumber(f"{name} tem {lengths[0]} números. Aqui há {len(number)}.")
    return number


def _cpf(text: str) -> str:
    try:
        return parse_cpf(text)
    except InvalidCpf as error:
        raise InvalidNumber(str(error)) from error


def _remainder(digits: str, weights: range) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11


def _driving_licence(text: str) -> str:
    """Check a licence's register; sources differ on whether the second digit is reduced if the first one overflowed."""
    number = _digits(text, "A CNH", _ELEVEN)
    first, second = _remainder(number[:9], range(9, 0, -1)), _remainder(number[:9], range(1, 10))
    seconds = {second % 10, (second - 2) % 11 % 10 if first == 10 else second % 10}  # noqa: PLR2004 - modulo 11
    if len(set(number)) == 1 or int(number[9]) != first % 10 or int(number[10]) not in seconds:
        raise InvalidNumber("Os números desta CNH não conferem entre si. Confira cada um.")
    return number


def _voter_digits(remainder: int, state: str) -> set[int]:
    """Return the check digits that a remainder allows; some sources use 1 for 0 in São Paulo and Minas Gerais."""
    return {remainder % 10} | ({1} if remainder == 0 and state in _SAO_PAULO_AND_MINAS else set())


def _voter(text: str) -> str:
    """Check a voter's number; some of São Paulo have thirteen digits, which sources add up from either end."""
    number = _digits(text, "O título de eleitor", _TWELVE, _THIRTEEN)
    row, state, check_digits = number[:-4], number[-4:-2], number[-2:]
    sums = {_remainder(row[:8], range(2, 10)), _remainder(row[-8:], range(2, 10))}
    sums.add(_remainder(row, range(2, 2 + len(row))))
    firsts = {digit for found in sums for digit in _voter_digits(found, state)}
    seconds = _voter_digits(_remainder(state + check_digits[0], range(7, 10)), state)
    if not 1 <= int(state) <= _LAST_STATE or int(check_digits[0]) not in firsts or int(check_digits[1]) not in seconds:
        raise InvalidNumber("Os números deste título não conferem entre si. Confira cada um.")
    return number


def _identity(text: str) -> str:
    """Check an RG's shape: some states add letters, some people add the issuer, and new cards have the CPF."""
    number = compact(text).upper()
    if not re.fullmatch(r"[A-Z]{0,4}[0-9]{4,14}[0-9A-Z]{0,8}", number, re.ASCII):
        raise InvalidNumber("Escreva o RG como está no documento: números e, se houver, letras.")
    return number


def _passport(text: str) -> str:
    number = compact(text).upper()
    if not re.fullmatch(r"[A-Z0-9]{5,12}", number, re.ASCII) or not any(sign.isdigit() for sign in number):
        raise InvalidNumber("Escreva o número do passaporte como está nele, como FZ123456.")
    return number


def _any(text: str) -> str:
    number = text.strip()
    if not number or len(number) > MAX_NUMBER or not number.isprintable():
        raise InvalidNumber("Número de documento inválido.")
    return number


_CHECKS: Mapping[DocumentType, Callable[[str], str]] = {
    DocumentType.CPF: _cpf,
    DocumentType.CNH: _driving_licence,
    DocumentType.VOTER: _voter,
    DocumentType.RG: _identity,
    DocumentType.PASSPORT: _passport,
}


def parse_number(kind: DocumentType, text: str) -> str:
    """Check a document's number by the rules of its kind, and return it without dots, dashes and blanks.

    CPF, CNH and título de eleitor are checked by their digits, RG and passport by their shape.

    Raises:
        InvalidNumber: it fails the check.
    """
    return _CHECKS.get(kind, _any)(text)
