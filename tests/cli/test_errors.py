"""A command that cannot do its work says why in one sentence, whichever command and whatever is wrong outside of it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from carteira import __version__
from carteira.cli import usage
from carteira.cli.commands import app
from carteira.embedded import Endpoints
from tests.support.databases import NewDatabase, on_server
from tests.support.server import clean_environment

pytestmark = pytest.mark.integration

ENGLISH = ("Usage", "OPTIONS", "ARGS", "Options", "Arguments", "Commands", "required", "default", "Show this")

COMMANDS = (
    ("migrate",),
    ("seed",),
    ("ledger", "reconcile"),
    ("ledger", "verify"),
    ("users", "export", "pessoas.csv"),
    ("credit", "verify-accesses"),
)
"""One of each way to the database."""


def failing(home: Path, *args: str, code: int = 1, **settings: object) -> str:
    """Run a command that has to fail, and return what it says."""
    done = subprocess.run(  # noqa: S603 - argv is ours
        [sys.executable, "-m", "carteira", *args],
        env=clean_environment(home, **settings) | {"COLUMNS": "80"},
        cwd=home,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
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
    assert failing(tmp_path, "serve", port="oitenta") == "Erro: PORT: Envie um número inteiro, só com algarismos."
    assert failing(tmp_path, "serve", environment="production").startswith("Erro: DATABASE_URL precisa ser definida; ")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"head_timeout_seconds": "abc"}, "HEAD_TIMEOUT_SECONDS: Envie um número."),
        ({"redis_url": "http://a"}, "REDIS_URL: O endereço deve começar por 'redis' ou 'rediss'"),
        ({"trusted_proxies": "banana"}, "TRUSTED_PROXIES: banana não é um endereço nem uma rede (10.0.0.0/8)"),
        (
            {"workers": 0, "port": 99999},
            "PORT: O valor deve ser no máximo 65535; WORKERS: O valor deve ser no mínimo 1.",
        ),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, dict) else "",
)
def test_what_is_wrong_with_a_setting(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert failing(tmp_path, "serve", **settings).removesuffix(".") == f"Erro: {said}".removesuffix(".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nope", "o comando 'nope' não existe. Veja `carteira --help`."),
        ("token --claim x", "a opção --claim não existe: seria --claims? Veja `carteira token --help`."),
        ("migrate --revision", "a opção '--revision' pede um valor. Veja `carteira --help`."),
        ("run extra", "argumentos a mais: extra. Veja `carteira run --help`."),
        ("jobs drop abc", "'number': Envie um número inteiro. Veja `carteira jobs drop --help`."),
        ("jobs drop", "falta 'number'. Veja `carteira jobs drop --help`."),
        (
            "keys rotate",
            "falta 'ring': tokens, identity, documents, credit, jwt. Veja `carteira keys rotate --help`.",
        ),
    ],
    ids=lambda text: text.split(".")[0],
)
def test_arguments_that_are_wrong(arguments: str, said: str, tmp_path: Path) -> None:
    assert failing(tmp_path, *arguments.split(), code=2) == f"Erro: {said}"


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - its class is private to typer
    """Every command and group of commands."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *path, name)


def test_every_command_explains_itself_in_portuguese(capsys: pytest.CaptureFixture[str]) -> None:
    command = usage.in_portuguese(app)
    for path in commands(command):
        command([*path, "--help"], prog_name="carteira", standalone_mode=False)
        said = capsys.readouterr().out
        assert "Uso: " in said, path
        assert "Mostra esta ajuda." in said, path
        assert not [word for word in ENGLISH if word in said], path


def test_a_command_imports_neither_a_web_framework_nor_what_help_is_drawn_by(tmp_path: Path) -> None:
    program = """
import sys
from carteira.cli import usage
from carteira.cli.commands import app
usage.in_portuguese(app)(["--version"], prog_name="carteira", standalone_mode=False)
print({"fastapi", "starlette", "sqlalchemy", "markdown_it", "typer.rich_utils"} & set(sys.modules))
"""
    done = subprocess.run(  # noqa: S603 - argv is ours
        [sys.executable, "-c", program], env=clean_environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout == f"carteira {__version__}\nset()\n"


@pytest.mark.parametrize("name", ["state.json", "credentials.json"])
@pytest.mark.parametrize("content", ['{"half', "[]"])
def test_a_file_of_the_home_that_is_damaged(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    said = failing(tmp_path, "run", carteira_home=tmp_path, port=0)
    assert f"{tmp_path / name} não é um" in said


def test_what_a_running_server_wrote_down_may_be_damaged(tmp_path: Path) -> None:
    for content in ('{"pid":', "[]", "{}"):
        (tmp_path / "runtime.json").write_text(content)
        assert failing(tmp_path, "ledger", "reconcile", carteira_home=tmp_path).startswith(
            "Erro: DATABASE_URL não está definida"
        )


def test_a_terminal_that_is_not_utf_8(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carteira", "doctor"],
        env=clean_environment(tmp_path) | {"PYTHONIOENCODING": "iso-8859-1"},
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert "configuração".encode("iso-8859-1") in done.stdout
    assert b"Traceback" not in done.stderr


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
