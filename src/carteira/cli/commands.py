"""The commands of the command line, and their error messages."""

import logging
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from carteira import __version__
from carteira.cli import (
    admin,
    audit,
    backup,
    credit,
    database,
    developer,
    doctor,
    erasures,
    errors,
    jobs,
    keys,
    ledger,
    payments,
    restore,
    sandbox,
    servers,
    terminal,
    usage,
    users,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"carteira {__version__}\n")
        raise typer.Exit


@app.callback()
def carteira(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Mostra a versão.")
    ] = False,
) -> None:
    """Carteira: uma identidade, um livro-razão em centavos, um autorizador de cartões."""


for command in (
    servers.run,
    servers.serve,
    servers.worker,
    database.migrate,
    database.seed,
    developer.token,
    developer.openapi,
    doctor.doctor,
    restore.drill,
):
    app.command()(command)
for name, group in (
    ("admin", admin.app),
    ("ledger", ledger.app),
    ("audit", audit.app),
    ("backup", backup.app),
    ("payments", payments.app),
    ("sandbox", sandbox.app),
    ("jobs", jobs.app),
    ("keys", keys.app),
    ("users", users.app),
    ("credit", credit.app),
    ("erasures", erasures.app),
    ("restore", restore.app),
):
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command of the arguments. Wrong arguments end with one sentence and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # from a terminal that is not UTF-8
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # unreadable lines are reported in Portuguese
    exit_with_result(lambda: usage.in_portuguese(app)(prog_name="carteira", standalone_mode=False))


def exit_with_result(work: Callable[[], int | None]) -> NoReturn:
    """Run something and exit with its result; errors from outside of the program end with one sentence and code 1."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is not None and not os.access(folder, os.W_OK | os.X_OK):
        terminal.print_error(
            f"PROMETHEUS_MULTIPROC_DIR: {folder} não é uma pasta em que se possa escrever: crie-a, ou deixe o servidor "
            "fazer a sua sem a variável."
        )
        sys.exit(1)
    try:
        sys.exit(work())
    except TyperException as error:
        if not usage.is_help(error):
            terminal.print_error(usage.sentence_of(error))
        sys.exit(error.exit_code)
    except Exception as error:
        sentence = errors.sentence_of(error, terminal.written("DATABASE_URL"))
        if sentence is None:
            raise
        terminal.print_error(sentence)
        sys.exit(1)
