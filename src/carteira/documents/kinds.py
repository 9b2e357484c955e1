"""Kinds of documents, and the checks of their numbers."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum

from validate_docbr import CNH as CnhRules  # noqa: N811 - the library's name is a constant to no one
from validate_docbr import TituloEleitoral as TituloRules

from carteira.kit.values.cpf import InvalidCpf, parse_cpf


class DocumentType(StrEnum):
    """What a document is (rules.md, documents)."""

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
_cnh = CnhRules()
_titulo = TituloRules()


def _plain(text: str) -> str:
    """Take case, accents and separators out of a name, so that "titulo_de_eleitor" finds its kind."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return re.sub(r"[\s_-]+", " ", bare).strip().casefold()


_BY_NAME = {_plain(kind): kind for kind in DocumentType} | _OTHER_NAMES


def parse_type(text: str) -> DocumentType | None:
    """Find the kind that a text names, however it is accented and capitalised."""
    return _BY_NAME.get(_plain(text))


def _digits(text: str) -> str:
    return re.sub(r"[.\-\s/]", "", text)


def _cpf(text: str) -> str:
    try:
        return parse_cpf(text)
    except InvalidCpf as error:
        raise InvalidNumber("CPF inválido.") from error


def _driving_licence(text: str) -> str:
    number = _digits(text)
    if not re.fullmatch(r"[0-9]{11}", number, re.ASCII) or not _cnh.validate(number):
        raise InvalidNumber("Número de CNH inválido.")
    return number


def _voter(text: str) -> str:
    number = _digits(text)
    if not re.fullmatch(r"[0-9]{12}", number, re.ASCII) or not _titulo.validate(number):
        raise InvalidNumber("Número de título de eleitor inválido.")
    return number


def _identity(text: str) -> str:
    number = _digits(text).upper()
    if not re.fullmatch(r"[A-Z]{0,3}[0-9]{4,13}[0-9X]", number, re.ASCII):
        raise InvalidNumber("Número de RG inválido.")
    return number


def _passport(text: str) -> str:
    number = _digits(text).upper()
    if not re.fullmatch(r"[A-Z0-9]{6,9}", number, re.ASCII):
        raise InvalidNumber("Número de passaporte inválido.")
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
    """Check a document's number by the rules of its kind and give it as it is kept: without dots, dashes and blanks.

    CPF, CNH and título de eleitor are checked by their digits, RG and passport by their shape.

    Raises:
        InvalidNumber: it fails the check.
    """
    return _CHECKS.get(kind, _any)(text)
