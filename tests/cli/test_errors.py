"""A command that cannot do its work says why in one sentence, whichever command and whatever is wrong outside of it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from carteira.embedded import Endpoints
from tests.support.databases import NewDatabase, on_server
from tests.support.server import clean_environment

pytestmark = pytest.mark.integration

COMMANDS = (
    ("migrate",),
    ("seed",),
    ("ledger", "reconcile"),
    ("ledger", "verify"),
    ("users", "export", "pessoas.csv"),
    ("credit", "verify-accesses"),
    ("keys", "check"),
)
"""One of each way to the database."""


def failing(home: Path, *args: str, **settings: object) -> str:
    """Run a command that has to fail, and return what it says."""
    done = subprocess.run(  # noqa: S603 - argv is ours
        [sys.executable, "-m", "carteira", *args],
        env=clean_environment(home, **settings) | {"COLUMNS": "80"},
        cwd=home,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_that_does_not_answer(command: tuple[str, ...], tmp_path: Path) -> None:
    said = failing(tmp_path, *command, database_url="postgresql://ana:segredo@127.0.0.1:1/banco")
    assert said == (
        "Erro: não foi possível falar com o PostgreSQL em 127.0.0.1:1/banco: está no ar? Confira DATABASE_URL."
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_that_does_not_exist(command: tuple[str, ...], tmp_path: Path, endpoints: Endpoints) -> None:
    said = failing(tmp_path, *command, database_url=on_server(endpoints.database_url, "nao_existe"))
    assert said.startswith("Erro: o banco de dados não existe em 127.0.0.1:")
    assert said.count("\n") == 0


@pytest.fixture
def empty_database(endpoints: Endpoints) -> Iterator[str]:
    """A database that nobody has migrated."""
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE test_not_migrated OWNER carteira")
        yield on_server(endpoints.database_url, "test_not_migrated")
        connection.execute("DROP DATABASE test_not_migrated WITH (FORCE)")


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_a_database_that_is_not_migrated(command: tuple[str, ...], tmp_path: Path, empty_database: str) -> None:
    said = failing(tmp_path, *command, database_url=empty_database)
    assert said.endswith("não está em dia: execute `carteira migrate`.")
    assert said.count("\n") == 0


def test_a_database_of_a_newer_release(tmp_path: Path, new_database: NewDatabase, endpoints: Endpoints) -> None:
    url = new_database("newer")
    owner = on_server(endpoints.owner_url, url.rpartition("/")[2])
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    said = failing(tmp_path, "migrate", database_url=url)
    assert "é de uma versão mais nova da Carteira" in said
    assert said.count("\n") == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "ocupado").write_text("a file, where the folder should be")
    said = failing(tmp_path, "run", carteira_home=tmp_path / "ocupado", port=0)
    assert said.startswith("Erro: ")
    assert "ocupado" in said
    assert said.count("\n") == 0


def test_settings_that_are_wrong(tmp_path: Path) -> None:
    assert failing(tmp_path, "serve", port="oitenta") == "Erro: PORT: Envie um número inteiro."
    assert failing(tmp_path, "serve", environment="production").startswith("Erro: DATABASE_URL precisa ser definida; ")


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENVIROMENT=production\nPORT=oitenta\n")
    assert "PORT" in failing(tmp_path, "serve")
    (tmp_path / ".env").write_text("ENVIROMENT=production\nDATABASE_URL=postgresql://ana@127.0.0.1:1/banco\n")
    first, *_, second = failing(tmp_path, "ledger", "reconcile").splitlines()
    assert first == "Atenção: ENVIROMENT não é uma configuração: seria ENVIRONMENT?"
    assert second.startswith("Erro: não foi possível falar com o PostgreSQL em 127.0.0.1:1/banco")


def test_a_file_of_settings_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("MAIL_FROM=não@exemplo\n".encode("cp1252"))
    assert failing(tmp_path, "serve") == "Erro: o arquivo .env não está em UTF-8: grave-o de novo nessa codificação."
