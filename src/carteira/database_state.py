"""Checks that this release can use the database: reachable, migrated, not too new, and safe to serve from.

Each process checks every few seconds. While a check fails, `/health/ready` says why, and transactions raise
`DatabaseDown`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog

from carteira import schema
from carteira.kit.db import pooling, rights
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.connecting import connect
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DRIVER_ERRORS
from carteira.kit.web.health import NotReady
from carteira.modules import RIGHTS

LOOK_SECONDS = 5.0
REFUSED_SECONDS = 1.0
OLDEST_MAJOR, NEWEST_MAJOR = 17, 18
"""The versions of PostgreSQL that the product is tested with."""
UNREACHABLE = "o PostgreSQL não responde"
NOT_MIGRATED = "o banco de dados não está em dia: execute `carteira migrate`"
TOO_NEW = "o banco de dados é de uma versão mais nova da Carteira ({revision}): atualize este servidor"
NEWER = "o banco de dados é de uma versão mais nova da Carteira ({revision}), que ainda serve a esta"
TOO_OLD = "o PostgreSQL é o {version}, e a Carteira precisa do {oldest} ou mais novo: atualize-o (pg_upgrade)"
NO_RIGHTS = "o usuário de DATABASE_URL não tem os direitos do serviço: execute `carteira migrate`"
POOLED = (
    "entre a Carteira e o PostgreSQL há um pooler que troca de sessão a cada transação: use pool_mode=session no "
    "PgBouncer, ou conecte direto"
)
_BY_SQLSTATE = {
    "3D000": "o banco de dados não existe",
    "28P01": "o PostgreSQL recusou a senha de DATABASE_URL",
    "28000": "o PostgreSQL não deixa o usuário de DATABASE_URL entrar",
    "42501": NO_RIGHTS,
}
_OWNER = (
    "o usuário de DATABASE_URL pode alterar o que só se acrescenta ({tables}): dê ao serviço um usuário próprio, com "
    "o dono em MIGRATION_DATABASE_URL, e execute `carteira migrate`, ou diga DATABASE_ONE_ROLE=true"
)

log = structlog.get_logger(__name__)


class DatabaseWatch:
    """Checks a process's database, and closes its gate while the database must not be served from.

    With `may_own` the role may be the owner of the tables.
    """

    def __init__(self, database: Database, *, may_own: bool) -> None:
        self._database = database
        self._may_own = may_own
        self._connection: Any = None
        self._is_session = False
        self._note: str | None = None
        self._turn = asyncio.Lock()

    async def check(self) -> None:
        """Check once, and open or close the gate.

        Raises:
            NotReady: it is closed, or PostgreSQL does not answer.
        """
        async with self._turn:
            await self._check_now()

    async def _check_now(self) -> None:
        try:
            reason = await self._fault()
        except DRIVER_ERRORS as error:
            self._drop()
            reason = _text_of(error)
            if reason == UNREACHABLE and self._is_session:  # it was usable, and is unreachable for now
                raise NotReady(reason) from error
        except BaseException:  # cancelled during a statement
            self._drop()
            raise
        self._log_change(reason)
        if reason is not None:
            raise NotReady(reason)

    async def ready(self) -> object:
        """Check the database and the requests' pool; return True, or a note about a database that is usable.

        Raises:
            NotReady: it is not.
        """
        await self.check()
        await self._database.ping()
        return self._note or True

    async def keep_checking(self) -> None:
        """Check every few seconds until cancelled."""
        while True:
            try:
                await self.check()
            except NotReady:
                await asyncio.sleep(REFUSED_SECONDS)
            else:
                await asyncio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Close the connection of the checks."""
        self._drop()

    async def _fault(self) -> str | None:
        if not self._is_session:
            if await pooling.sessions_are_shared(self._database.address):
                return POOLED
            self._is_session = True
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._database.address, {}, command_timeout=REFUSED_SECONDS * 5)
        if (reason := too_old(self._connection.get_server_version().major)) is not None:
            return reason
        found = await _revision(self._connection)
        fit = schema.fit_of(*found)
        self._note = NEWER.format(revision=found[0]) if fit is schema.Fit.NEWER else None
        if fit is schema.Fit.TOO_NEW:
            return TOO_NEW.format(revision=found[0])
        if fit is schema.Fit.OLD:
            return NOT_MIGRATED
        return None if self._may_own else await _excess(self._connection)

    def _log_change(self, reason: str | None) -> None:
        if reason != self._database.gate.reason:
            if reason is None:
                log.info("database usable")
            else:
                log.warning("database not usable", reason=reason)
        self._database.gate.reason = reason

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


@asynccontextmanager
async def watched(database: Database, *, may_own: bool) -> AsyncIterator[DatabaseWatch]:
    """Check a database before it is served from, and for as long as the block lasts."""
    watch = DatabaseWatch(database, may_own=may_own)
    with suppress(NotReady):
        await watch.check()
    looking = asyncio.create_task(watch.keep_checking(), name="database watch")
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        watch.close()


async def refused_for(url: str, *, may_own: bool) -> str | None:
    """Return why a database must never be served from; None if there is no reason, or it does not answer.

    A missing migration is no reason: servers wait for it.
    """
    address = DatabaseAddress.parse(url)
    try:
        if await pooling.sessions_are_shared(address):
            return POOLED
        connection = await connect(address, {})
        try:
            if (reason := too_old(connection.get_server_version().major)) is not None:
                return reason
            return None if may_own else await _excess(connection)
        finally:
            connection.terminate()
    except DRIVER_ERRORS:
        return None


def too_old(major: int) -> str | None:
    """Return why a version of PostgreSQL must not be served from; None: it may."""
    return TOO_OLD.format(version=major, oldest=OLDEST_MAJOR) if major < OLDEST_MAJOR else None


async def _revision(connection: Any) -> tuple[str | None, str | None]:  # noqa: ANN401 - asyncpg has no types
    """Return the database's revision, and its comment about the releases that it still serves; None where missing."""
    if not await connection.fetchval("SELECT to_regclass('public.alembic_version') IS NOT NULL"):
        return None, None
    row = await connection.fetchrow("""
        SELECT max(version_num), obj_description('public.alembic_version'::regclass) FROM public.alembic_version
    """)
    return row[0], row[1]


async def _excess(connection: Any) -> str | None:  # noqa: ANN401 - asyncpg has no types
    found = await connection.fetch(rights.EXCESS, list(RIGHTS), [" ".join(kept) for kept in RIGHTS.values()])
    return _OWNER.format(tables=", ".join(row[0] for row in found)) if found else None


def _text_of(error: BaseException) -> str:
    for link in _causes(error):
        if isinstance(link, asyncpg.PostgresError) and link.sqlstate in _BY_SQLSTATE:
            return _BY_SQLSTATE[link.sqlstate]
        if isinstance(link, ssl.SSLError):
            return "o certificado do PostgreSQL não foi aceito: confira sslmode e sslrootcert de DATABASE_URL"
    return UNREACHABLE


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__
