"""A command that cannot do its work gives the reason in one sentence, whatever fails outside of it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import typer
from typer.testing import CliRunner

import carteira
from carteira import __version__, schema
from carteira.cli import errors, terminal, usage
from carteira.cli.commands import app
from carteira.embedded import Endpoints
from tests.support.commands import run_command
from tests.support.databases import NewDatabase, on_server
from tests.support.portuguese import english_words
from tests.support.server import clean_environment

pytestmark = pytest.mark.integration

LOOK_AT_HOST = "Confira HOST: um endereço desta máquina, sem a porta."
ENGLISH = ("OPTIONS", "ARGS", "<str>", "<bool>", "<path>", "<int>", "<int ", "<date")
"""Words of the library's own help that are no words of a sentence."""

SAY = {"BackupDamaged", "BackupFailed", "CommandFailed", "ValueError", "confirm", "fail", "finding", "print"}
"""What makes a message out of its arguments."""
VALUES = {"all", "chmod", "dynamodb", "jwt", "maxmemory", "policy", "public", "read", "tracing"}
"""Names and values that a message repeats or advises to type."""

COMMANDS = (
    ("migrate",),
    ("seed",),
    ("ledger", "reconcile"),
    ("ledger", "verify"),
    ("users", "export", "pessoas.csv"),
    ("credit", "verify-accesses"),
)
"""One command for each way to the database."""


def failing(home: Path, *args: str, code: int = 1, **settings: object) -> str:
    """Run a command that must fail, and return its output."""
    done = run_command(home, settings, *args, columns=80)
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
    """A database without the migrations."""
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


def test_a_role_that_cannot_be_made(tmp_path: Path, new_database: NewDatabase, endpoints: Endpoints) -> None:
    owner = on_server(endpoints.owner_url, new_database("no_role").rpartition("/")[2])
    server = owner.rpartition("@")[2]
    for service, why in (
        (f"postgresql://ninguem:senha@{server}", "não pode criar ninguem, nem trocar a sua senha: dê-lhe CREATEROLE"),
        (f"postgresql://ninguem@{server}", "não diz a senha do usuário"),
    ):
        said = failing(tmp_path, "migrate", "--create-role", database_url=service, migration_database_url=owner)
        assert why in " ".join(said.split())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "ocupado").write_text("a file, where the folder should be")
    said = failing(tmp_path, "run", carteira_home=tmp_path / "ocupado", port=0)
    assert said.startswith("Erro: ")
    assert "ocupado" in said
    assert said.count("\n") == 0


def test_settings_that_are_wrong(tmp_path: Path) -> None:
    assert failing(tmp_path, "serve", port="oitenta") == "Erro: PORT: Envie um número inteiro, só com algarismos."
    assert failing(tmp_path, "serve", environment="production").startswith("Erro: DATABASE_URL precisa ser definida (")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"head_timeout_seconds": "abc"}, "HEAD_TIMEOUT_SECONDS: Envie um número."),
        (
            {"redis_url": "http://a"},
            (
                "REDIS_URL: Escreva como em rediss://:senha@máquina:6379/0 ou "
                "rediss+sentinel://:senha@máquina1:26379,máquina2:26379/0?service=nome"
            ),
        ),
        ({"debug": "sim"}, "DEBUG: Escreva true ou false."),
        ({"public_texts_folder": "/nao/ha"}, "PUBLIC_TEXTS_FOLDER: /nao/ha não é uma pasta que existe"),
        (
            {"host": "localhost:8000"},
            f"não dá para escutar em localhost:8000:8000 (ninguém conhece esse nome). {LOOK_AT_HOST}",
        ),
        (
            {"host": "203.0.113.1"},
            f"não dá para escutar em 203.0.113.1:8000 (o endereço não é desta máquina). {LOOK_AT_HOST}",
        ),
        ({"trusted_proxies": "banana"}, "TRUSTED_PROXIES: banana não é um endereço nem uma rede (10.0.0.0/8)"),
        (
            {"workers": 0, "port": 99999},
            "PORT: O valor deve ser no máximo 65535; WORKERS: O valor deve ser no mínimo 1.",
        ),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, dict) else "",
)
def test_wrong_settings_are_explained(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert failing(tmp_path, "serve", **settings).removesuffix(".") == f"Erro: {said}".removesuffix(".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("serv", "o comando 'serv' não existe: seria 'serve' ou 'users'? Veja `carteira --help`."),
        (
            "jobs drop 9999999999999999999",
            "'número': O valor deve ser no máximo 9223372036854775807. Veja `carteira jobs drop --help`.",
        ),
        ("nope", "o comando 'nope' não existe. Veja `carteira --help`."),
        ("token --claim x", "a opção --claim não existe: seria --claims? Veja `carteira token --help`."),
        ("migrate --revision", "a opção '--revision' pede um valor. Veja `carteira --help`."),
        ("run extra", "argumentos a mais: extra. Veja `carteira run --help`."),
        ("jobs drop abc", "'número': Envie um número inteiro. Veja `carteira jobs drop --help`."),
        ("jobs drop", "falta 'número'. Veja `carteira jobs drop --help`."),
        (
            "keys rotate",
            (
                "falta 'chaveiro'; pode ser tokens, identity, documents, credit ou jwt. "
                "Veja `carteira keys rotate --help`."
            ),
        ),
    ],
    ids=lambda text: text.split(".")[0],
)
def test_arguments_that_are_wrong(arguments: str, said: str, tmp_path: Path) -> None:
    assert failing(tmp_path, *arguments.split(), code=2) == f"Erro: {said}"


def test_an_unknown_revision(tmp_path: Path) -> None:
    for rest in ([], ["--sql"]):
        said = failing(tmp_path, "migrate", "--revision", "9999", *rest, database_url="postgresql://ana@127.0.0.1:1/b")
        assert said == f"Erro: não há a revisão 9999: a última desta versão é a {schema.head()}."


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_an_unwritable_home_is_reported_before_anything_waits_in_it(command: str, tmp_path: Path) -> None:
    (tmp_path / "ocupado").write_text("a file, where the folder should be")
    for home in (tmp_path / "ocupado", tmp_path / "ocupado" / "home"):
        said = failing(tmp_path, command, carteira_home=home, port=0, worker_port=0)
        assert said.startswith(f"Erro: CARTEIRA_HOME: {home} não pode ser escrita (")
        assert said.endswith("dê a pasta ao usuário do servidor, ou defina outra.")


def test_a_disk_that_is_full_while_keys_are_made(tmp_path: Path) -> None:
    program = """
import errno, os, sys
def full(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.fsync = full
sys.argv = ["carteira", "keys", "init", "--folder", sys.argv[1]]
from carteira.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "keys")],
        env=clean_environment(tmp_path),
        check=False,
        capture_output=True,
        text=True,
    )
    first = tmp_path / "keys" / "access-token.pem"
    assert (done.returncode, done.stderr.strip()) == (1, f"Erro: {first}: o disco está cheio.")
    assert list((tmp_path / "keys").iterdir()) == []


def test_a_pooler_that_takes_statements_away() -> None:
    for error in (asyncpg.DuplicatePreparedStatementError(), asyncpg.InvalidSQLStatementNameError()):
        said = errors.sentence_of(error, "postgresql://ana@db/banco")
        assert said is not None
        assert "um pooler que troca de sessão" in said
        assert "db:5432/banco" in said


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - its class is private to typer
    """Every command and group of commands."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *path, name)


def test_every_command_explains_itself_in_portuguese(capsys: pytest.CaptureFixture[str]) -> None:
    command = usage.in_portuguese(app)
    names = {word for path in commands(command) for name in path for word in name.split("-")}
    for path in commands(command):
        command([*path, "--help"], prog_name="carteira", standalone_mode=False)
        said = capsys.readouterr().out
        assert "Uso: " in said, path
        assert "Mostra esta ajuda." in said, path
        assert not [word for word in ENGLISH if word in said], path
        assert {word for line in said.splitlines() for word in english_words(line)} <= names, path


def messages() -> Iterator[str]:
    """Return the texts of commands, of `carteira doctor`, of settings and of backups, with `0` for each expression."""
    folders = [Path(carteira.__file__).parent / name for name in ("cli", "doctor", "settings", "backup")]
    trees = [ast.parse(file.read_text()) for folder in folders for file in folder.rglob("*.py")]
    for call in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if (call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)) in SAY:
            for said in call.args:
                if isinstance(said, ast.JoinedStr):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in said.values)
                elif isinstance(said, ast.Constant) and isinstance(said.value, str):
                    yield said.value


def test_messages_are_in_portuguese() -> None:
    names = {word for path in commands(usage.in_portuguese(app)) for name in path for word in name.split("-")}
    found = list(messages())
    assert len(found) > 200
    assert {text: words for text in found if (words := set(english_words(text)) - names - VALUES)} == {}


@pytest.mark.parametrize(
    ("typed", "meant"), [("s", True), ("Sim", True), ("n", False), ("não", False), ("", False), ("talvez\ns", True)]
)
def test_a_question_is_asked_and_answered_in_portuguese(
    typed: str,
    meant: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    answers = []
    asking = typer.Typer()
    asking.command()(lambda: answers.append(terminal.confirm("Continuar?")))
    done = CliRunner().invoke(asking, input=f"{typed}\n")
    assert answers == [meant]
    assert done.stderr.startswith("Continuar? [s/N]:")


def test_a_command_imports_no_web_framework_and_no_renderer_of_help(tmp_path: Path) -> None:
    program = """
import sys
from carteira.cli import usage
from carteira.cli.commands import app
usage.in_portuguese(app)(["--version"], prog_name="carteira", standalone_mode=False)
print({"fastapi", "starlette", "sqlalchemy", "markdown_it", "typer.rich_utils"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout == f"carteira {__version__}\nset()\n"


@pytest.mark.parametrize("name", ["state.json", "credentials.json"])
@pytest.mark.parametrize("content", ['{"half', "[]"])
def test_a_file_of_the_home_that_is_damaged(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    said = failing(tmp_path, "run", carteira_home=tmp_path, port=0)
    assert f"{tmp_path / name} não é um" in said


def test_a_damaged_runtime_file_counts_as_no_server(tmp_path: Path) -> None:
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


def test_a_missing_folder_of_metrics(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for command in ("serve", "migrate"):
        assert failing(tmp_path, command, prometheus_multiproc_dir=missing) == (
            f"Erro: PROMETHEUS_MULTIPROC_DIR: {missing} não é uma pasta em que se possa escrever: crie-a, ou deixe o "
            "servidor fazer a sua sem a variável."
        )


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENVIROMENT=production\nPORT=oitenta\n")
    assert "PORT" in failing(tmp_path, "serve")
    (tmp_path / ".env").write_text("ENVIROMENT=production\nDATABASE_URL=postgresql://ana@127.0.0.1:1/banco\n")
    first, *_, second = failing(tmp_path, "ledger", "reconcile").splitlines()
    assert first == "Atenção: ENVIROMENT não é uma configuração: seria ENVIRONMENT?"
    assert second.startswith("Erro: não foi possível falar com o PostgreSQL em 127.0.0.1:1/banco")


@pytest.mark.parametrize("line", ["DOCS_OPEN true", "SMS_TOKEN='ab", "<<<<<<< HEAD", "DOCS_OPEN"])
def test_a_line_of_settings_that_sets_nothing_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"# a comment\n\nexport LOG_LEVEL=info # another\n{line}\nENVIRONMENT=staging\n")
    told = "a linha 4 de .env não foi entendida: escreva NOME=valor"
    assert failing(tmp_path, "serve", environment="staging") == f"Erro: {told}"
    first, *_ = failing(tmp_path, "serve", environment="development", port="oitenta").splitlines()
    assert first == f"Atenção: {told}"


def test_a_file_of_settings_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("MAIL_FROM=não@exemplo\n".encode("cp1252"))
    assert failing(tmp_path, "serve") == "Erro: o arquivo .env não está em UTF-8: grave-o de novo nessa codificação."
