"""The database's schema: its tables' metadata, and Alembic's history over all modules."""

import importlib
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from carteira.kit.db.address import DatabaseAddress
from carteira.modules import TABLE_OWNERS


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


def alembic_config(url: str | None = None) -> Config:
    """Make Alembic's configuration without a file; `url` is a plain `postgresql://` one."""
    config = Config()
    config.set_main_option("script_location", str(_folder()))
    config.attributes["url"] = url
    return config


def is_current(url: str) -> bool:
    """Tell whether the database is at the last revision, without loading any module's tables."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    with psycopg.connect(DatabaseAddress.parse(url).conninfo) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return False
        return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(head,)]


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database to a revision. Safe to run from several processes and on a live database."""
    command.upgrade(alembic_config(url), revision)


def print_sql(revision: str = "head") -> None:
    """Print the DDL from empty to a revision on standard output."""
    command.upgrade(alembic_config(), revision, sql=True)
