"""The database's schema: its tables' metadata, and Alembic's history over all modules."""

import importlib
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from carteira.kit.db import rights
from carteira.kit.db.address import DatabaseAddress
from carteira.modules import RIGHTS, TABLE_OWNERS

if TYPE_CHECKING:
    from alembic.config import Config

SERVES = "serves servers since "
SERVES_SINCE = "0046"
"""The last revision of the oldest release whose servers still work after this release's migrations, while they are
replaced. A migration that removes something that they need raises it. It is stored as a comment on `alembic_version`.
"""


def load_models() -> None:
    """Import every module that owns tables, so that their metadata is complete."""
    for name in TABLE_OWNERS:
        importlib.import_module(name)


def _folder() -> Path:
    """Find the migrations: at the root of a checkout, or inside an installed wheel."""
    package = Path(__file__).parent
    for folder in (package.parents[1] / "migrations", package / "migrations"):
        if (folder / "env.py").exists():
            return folder
    raise FileNotFoundError("the migrations folder is neither in the checkout nor in the package")


def alembic_config(url: str | None = None) -> "Config":
    """Make Alembic's configuration without a file; `url` is a plain `postgresql://` one."""
    from alembic.config import Config  # noqa: PLC0415 - slow to import, and a server does not migrate

    config = Config()
    config.set_main_option("script_location", str(_folder()))
    config.attributes["url"] = url
    return config


def is_current(url: str) -> bool:
    """Return whether the database is at the last revision, without loading any module's tables."""
    head = _revisions()[-1]
    with psycopg.connect(DatabaseAddress.parse(url).conninfo) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return False
        return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(head,)]


class Fit(Enum):
    """The relation of a database's revision to this release."""

    CURRENT = "current"
    OLD = "old"
    NEWER = "newer"
    """A later release migrated it, and kept everything that this release needs."""
    TOO_NEW = "too new"


def fit_of(revision: str | None, said: str | None) -> Fit:
    """Return how a database fits this release: by its revision, and by the comment of the release that migrated it."""
    known = _revisions()
    if revision is None or revision in known[:-1]:
        return Fit.OLD
    if revision == known[-1]:
        return Fit.CURRENT
    serves = (said or "").removeprefix(SERVES)
    return Fit.NEWER if serves in known else Fit.TOO_NEW


def head() -> str:
    """Return the last revision of this release."""
    return _revisions()[-1]


def is_known(revision: str) -> bool:
    """Return whether Alembic may know a revision: one of this release, or a relative one (`head`, `+1`)."""
    return not revision.isdecimal() or revision in _revisions()


@cache
def _revisions() -> list[str]:
    """Return the revisions in order, from the names of their files, since loading the history takes long."""
    return sorted(path.name[:4] for path in (_folder() / "versions").glob("[0-9]*.py"))


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database to a revision. Safe to run from several processes and on a live database."""
    from alembic import command  # noqa: PLC0415 - slow to import, and a server does not migrate

    command.upgrade(alembic_config(url), revision)
    with psycopg.connect(DatabaseAddress.parse(url).conninfo, autocommit=True) as connection:
        found = connection.execute("SELECT version_num, obj_description(tableoid) FROM alembic_version").fetchone()
        if found is not None and fit_of(found[0], found[1]) is Fit.CURRENT and found[1] != SERVES + SERVES_SINCE:
            comment = sql.Literal(SERVES + SERVES_SINCE)
            connection.execute(sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(comment))


def make_role(url: str, service_url: str) -> bool:
    """Create the role of the service's address, or set its password, as the owner; return whether it was created.

    Raises:
        KeyError: the service's address has no password.
        psycopg.errors.InsufficientPrivilege: the owner may not do so.
    """
    service = DatabaseAddress.parse(service_url)
    with psycopg.connect(DatabaseAddress.parse(url).conninfo, autocommit=True) as connection:
        return rights.make_role(connection, service.user, service.options["password"])


def grant(url: str, role: str) -> int:
    """Grant the service's role its rights, as the owner of the tables; return how many tables changed.

    Raises:
        RoleMissing: there is no such role.
    """
    with psycopg.connect(DatabaseAddress.parse(url).conninfo, autocommit=True) as connection:
        return rights.grant(connection, role, RIGHTS)


def print_sql(revision: str = "head") -> None:
    """Print the DDL from empty to a revision on standard output."""
    from alembic import command  # noqa: PLC0415 - slow to import, and a server does not migrate

    command.upgrade(alembic_config(), revision, sql=True)
