"""The embedded PostgreSQL has an owner and a role that serves, also in a home that a former release made."""

import json
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from rich.console import Console

from carteira import schema
from carteira.cli import launcher
from carteira.embedded import SERVICE, EmbeddedServers, Endpoints
from carteira.settings import Settings

pytestmark = pytest.mark.integration


def make_home_of_former_release(home: Path) -> None:
    """Make a home with one role, and with data of that release's last migration."""
    with EmbeddedServers(home, redis=False, aws=False) as servers:
        schema.migrate(servers.endpoints.owner_url, "0033")
        with psycopg.connect(servers.endpoints.owner_url) as connection:
            connection.execute("INSERT INTO roles (description, built_in) VALUES ('porteiro', false)")
        with psycopg.connect(servers.endpoints.superuser_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(SERVICE)))
    file = home / "credentials.json"
    passwords = json.loads(file.read_text())
    del passwords[SERVICE]
    file.write_text(json.dumps(passwords))


def prepare(endpoints: Endpoints, home: Path) -> None:
    """Do what `carteira run` does before it starts the server."""
    settings = Settings.model_validate({"carteira_home": home})
    environment = {"DATABASE_URL": endpoints.database_url, launcher.OWNER: endpoints.owner_url}
    launcher._prepare(settings, environment, Console(quiet=True), None)  # noqa: SLF001 - the test runs one step


def test_a_home_that_exists_gets_the_role_that_serves(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home_of_former_release(home)
    for _ in ("upgraded", "started again"):
        with EmbeddedServers(home, redis=False, aws=False) as servers:
            prepare(servers.endpoints, home)
            with psycopg.connect(servers.endpoints.database_url, autocommit=True) as service:
                assert service.execute("SELECT current_user").fetchone() == (SERVICE,)
                found = service.execute("SELECT count(*) FROM roles WHERE description = 'porteiro'").fetchone()
                assert found == (1,)
                for statement in ("ALTER TABLE audit_log DISABLE TRIGGER ALL", "DELETE FROM ledger_postings"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        service.execute(statement.encode())


def test_a_password_that_was_lost_is_set_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with EmbeddedServers(home, redis=False, aws=False):
        pass
    file = home / "credentials.json"
    passwords = json.loads(file.read_text())
    del passwords[SERVICE]
    file.write_text(json.dumps(passwords))
    with (
        EmbeddedServers(home, redis=False, aws=False) as servers,
        psycopg.connect(servers.endpoints.database_url) as service,
    ):
        assert service.execute("SELECT current_user").fetchone() == (SERVICE,)
