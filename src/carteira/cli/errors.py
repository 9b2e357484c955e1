"""Messages of failed commands: one sentence in Portuguese, for all commands in one place.

Other errors are our own faults, and end with a stack trace.
"""

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from carteira.kit.db.address import AddressRefused, DatabaseAddress
from carteira.kit.web.validation import describe
from carteira.settings import InsecureProduction

_NO_DATABASE, _NO_TABLE, _NO_RIGHT, _WRONG_PASSWORD = "3D000", "42P01", "42501", "28P01"
_POOLED = (
    "entre a Carteira e o PostgreSQL em {where} há um pooler que troca de sessão a cada transação: use "
    "pool_mode=session no PgBouncer, ou conecte direto."
)
_BY_SQLSTATE = {
    _NO_DATABASE: "o banco de dados não existe em {where}: crie-o (createdb) ou confira DATABASE_URL.",
    _NO_TABLE: "o banco de dados em {where} não está em dia: execute `carteira migrate`.",
    _NO_RIGHT: "o usuário não tem permissão para isto em {where}: `carteira migrate` concede, como dono, o que falta.",
    _WRONG_PASSWORD: "o PostgreSQL em {where} recusou a senha: confira DATABASE_URL.",
    "28000": "o PostgreSQL em {where} não deixa este usuário entrar: confira DATABASE_URL e pg_hba.conf.",
    "53300": "o PostgreSQL em {where} não tem conexões livres (max_connections).",
    "25006": "o PostgreSQL em {where} só aceita leituras: é uma réplica?",
    "42P05": _POOLED,
    "26000": _POOLED,
    "55P03": "outra operação segura o que esta precisa em {where}: tente de novo.",
}
_UNREACHABLE = "não foi possível falar com o PostgreSQL em {where}: está no ar? Confira DATABASE_URL."
_NOT_TRUSTED = (
    "o certificado do PostgreSQL em {where} não foi aceito: confira sslmode e sslrootcert de DATABASE_URL, e o nome da "
    "máquina."
)
_BY_ERRNO = {
    errno.ENOENT: "não existe",
    errno.EACCES: "sem permissão",
    errno.EPERM: "sem permissão",
    errno.EEXIST: "já existe, e não é uma pasta",
    errno.ENOTDIR: "não é uma pasta",
    errno.EISDIR: "é uma pasta",
    errno.EROFS: "só aceita leituras",
    errno.ENOSPC: "o disco está cheio",
    errno.EDQUOT: "o disco está cheio",
    errno.EIO: "o disco não lê ou não grava",
    errno.EADDRINUSE: "o endereço já está em uso",
    errno.EADDRNOTAVAIL: "o endereço não é desta máquina",
}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
_LOOKS = {
    "PUBLIC_URL": "https://carteira.exemplo.com.br",
    "ROOT_PATH": "/carteira, sem barra no fim",
    "PIX_URL": "https://pix.exemplo.com.br/v2",
    "PIX_TOKEN_URL": "https://pix.exemplo.com.br/oauth/token",
    "PIX_WEBHOOK_URL": "https://carteira.exemplo.com.br",
    "PIX_WEBHOOK_PROXY_HEADER": "X-Client-Verify: SUCCESS",
    "PIX_WEBHOOK_SIGNATURE_HEADER": "X-Signature",
    "CLAMD_URL": "tcp://máquina:3310 ou unix:///run/clamav/clamd.ctl",
    "BASE_URL_CASHBACK": "https://cashback.exemplo.com.br",
    "MAIL_ONLY_TO": "exemplo.com.br, outro.com.br",
    "SMS_ONLY_TO": "11987654321, 11912345678",
    "AWS_REGION": "sa-east-1",
    "CREDIT_TABLE": "carteira-credit",
}
"""Examples of settings with a special form."""
_OF_FORM = {"string_pattern_mismatch", "url_parsing", "url_scheme"}
_DRIVERS = {"asyncpg", "psycopg", "sqlalchemy"}


class CommandFailed(Exception):
    """A command cannot be carried out; the text says why, in Portuguese."""


def sentence_of(error: BaseException, database_url: str | None) -> str | None:  # noqa: PLR0911 - one per kind
    """Return the message for the operator; None if the error is a fault of the program.

    `database_url` appears only by its host, port and database.
    """
    if isinstance(error, CommandFailed | InsecureProduction):
        return str(error)
    if type(error).__name__ == "ObjectsDown" and getattr(error, "errno", None) in _BY_ERRNO:
        return f"o lugar dos backups, dos documentos ou do diário de eliminações: {_BY_ERRNO[error.errno]}."  # type: ignore[attr-defined] # checked just now
    if type(error).__name__ in _BY_NAME:
        return _BY_NAME[type(error).__name__].format(error)
    if isinstance(error, ValidationError | UnicodeDecodeError | AddressRefused):
        return _of_settings(error)
    chain = list(_chain(error))
    if any(type(link).__name__ == "DatabaseDown" or _is_driver(link) for link in chain):
        return _of_database(chain, _place(database_url))
    if isinstance(error, OSError):
        return _of_system(error)
    if type(error).__module__ == "alembic.util.exc":
        return (
            f"o banco de dados em {_place(database_url)} é de uma versão mais nova da Carteira, ou de outro sistema: "
            f"{error}"
        )
    return None


def _of_system(error: OSError) -> str | None:
    """Return the message of a system error, with its file; a full disk names none."""
    if error.filename is not None:
        return f"{Path(str(error.filename))}: {system_message(error)}."
    return f"{system_message(error)}." if error.errno in _DISK else None


def _of_settings(error: ValidationError | UnicodeDecodeError | AddressRefused) -> str:
    if isinstance(error, AddressRefused):
        return f"DATABASE_URL: {error}"
    *others, last = faults_of_settings(error)
    return "; ".join([*(fault.removesuffix(".") for fault in others), last])


def system_message(error: OSError) -> str:
    """Return the operating system's message, in Portuguese for common errors."""
    if isinstance(error, socket.gaierror):
        return "ninguém conhece esse nome"
    return _BY_ERRNO.get(error.errno or 0) or str(error.strerror)


def faults_of_settings(error: ValidationError | UnicodeDecodeError) -> list[str]:
    """Return a sentence for each setting that is wrong."""
    if isinstance(error, UnicodeDecodeError):
        return ["o arquivo .env não está em UTF-8: grave-o de novo nessa codificação."]
    return [text for item in _once(error.errors()) for text in _of_setting(item).split("; ")]


def _once(items: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Merge the errors of a setting that may be a number or a word: for a wrong number only the number's."""
    for item in items:
        others = [other for other in items if other is not item and other["loc"][:1] == item["loc"][:1]]
        if item["type"] != "literal_error" or not others:
            yield item


def _of_setting(error: Mapping[str, Any]) -> str:
    """Return the message of a setting and its rule; production's refusals name their settings themselves."""
    own = (error.get("ctx") or {}).get("error")
    own = own if isinstance(own, Exception) else None  # pydantic's own messages are in English
    if isinstance(own, InsecureProduction):
        return str(own)
    if not error["loc"]:
        return str(own)
    name = str(error["loc"][0]).upper()
    return f"{name}: {own or _written_how(name, error) or describe(error)['message']}"


def _written_how(name: str, error: Mapping[str, Any]) -> str | None:
    """Return how a misread setting is written; None if its rule says so.

    People would write "verdadeiro" if the message asked for it.
    """
    if error["type"].startswith("bool_"):
        return "Escreva true ou false."
    return f"Escreva como em {_LOOKS[name]}." if error["type"] in _OF_FORM and name in _LOOKS else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = getattr(link, "orig", None) or link.__cause__ or link.__context__


def _is_driver(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _DRIVERS


def _of_database(chain: list[BaseException], where: str) -> str | None:
    for link in chain:
        text = _BY_SQLSTATE.get(getattr(link, "sqlstate", None) or "")
        if text is not None:
            return text.format(where=where)
    # psycopg reports errors during the connection without their SQLSTATE.
    said = " ".join(str(link) for link in chain)
    if "does not exist" in said and "database" in said:
        return _BY_SQLSTATE[_NO_DATABASE].format(where=where)
    if "password authentication failed" in said:
        return _BY_SQLSTATE[_WRONG_PASSWORD].format(where=where)
    if any("SSL" in type(link).__name__ for link in chain) or "certificate" in said:
        return _NOT_TRUSTED.format(where=where)
    lost = any(isinstance(link, OSError) or type(link).__name__ in _LOST for link in chain)
    return _UNREACHABLE.format(where=where) if lost else None


_AWAY = "o lugar dos backups, dos documentos ou do diário de eliminações não responde: confira o seu endereço."
_BY_NAME = {"BackupFailed": "{}.", "BackupDamaged": "{}.", "ObjectsDown": _AWAY, "ErasureJournalDown": _AWAY}
# By their names: importing the drivers takes longer than most commands.
_LOST = {"DatabaseDown", "OperationalError", "InterfaceError", "ConnectionDoesNotExistError", "ConnectionTimeout"}


def _place(database_url: str | None) -> str:
    try:
        return DatabaseAddress.parse(database_url or "").place if database_url else "DATABASE_URL"
    except AddressRefused:
        return "DATABASE_URL"
