"""Shared parts of commands: settings, errors that end a command, spinners and bars."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from io import StringIO
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from carteira.cli import launcher
from carteira.cli.errors import CommandFailed
from carteira.kit.ops.progress import Progress
from carteira.settings import Settings, production, secret_files

T = TypeVar("T")
DOT_ENV = ".env"
HOW_A_LINE_IS = "escreva NOME=valor"
out = Console()
err = Console(stderr=True)


def settings_here() -> Settings:
    """Read the settings, completed from the runtime file of a running `carteira run` of the same home.

    Raises:
        CommandFailed: outside of development, one is misspelt, or a line of `.env` sets nothing.
        InsecureProduction, ValidationError: they are wrong.
    """
    name_unread()
    settings = launcher.settings_of_running_server()
    name_misspelt(settings)
    return settings


def confirm(question: str) -> bool:
    """Ask a question on standard error; an empty answer means no."""
    while True:
        answer = typer.prompt(f"{question} [s/N]", default="", show_default=False, err=True).strip().lower()
        if answer in {"", "n", "nao", "não", "s", "sim"}:
            return answer in {"s", "sim"}


def written(name: str) -> str | None:
    """Return a name's value in the environment, or else in `.env`, if that can be read."""
    try:
        return os.environ.get(name) or dotenv_values(".env").get(name)
    except ValueError:  # another encoding than UTF-8
        return None


def name_misspelt(settings: Settings) -> None:
    """Report misspelt settings; only development starts with one.

    Raises:
        CommandFailed: outside of development, one is misspelt.
    """
    found = misspelt_names()
    if not found:
        return
    names = "; ".join(f"{name} não é uma configuração: seria {meant}?" for name, meant in found)
    if settings.environment != "development":
        raise CommandFailed(names)
    err.print(f"[yellow]Atenção:[/] {escape(names)}", soft_wrap=True, highlight=False)


def name_unread() -> None:
    """Report lines of `.env` that set nothing; only development starts with one.

    Raises:
        CommandFailed: outside of development, there is one.
    """
    lines = unread_lines()
    if not lines:
        return
    text = "; ".join(f"a linha {line} de {DOT_ENV} não foi entendida: {HOW_A_LINE_IS}" for line in lines)
    if (written("ENVIRONMENT") or "development") != "development":
        raise CommandFailed(text)
    err.print(f"[yellow]Atenção:[/] {escape(text)}", soft_wrap=True, highlight=False)


def unread_lines() -> list[int]:
    """Return the numbers of the lines of `.env` that set nothing: no `=`, or a quotation mark that does not end."""
    return [
        one.original.line
        for one in _bindings()
        if one.original.string.strip() and (one.error or (one.key is not None and one.value is None))
    ]


def names_set_twice() -> list[tuple[str, int]]:
    """Return the names with several different values in `.env`, each with the line that takes effect."""
    values: dict[str, set[str | None]] = {}
    lines: dict[str, int] = {}
    for one in _bindings():
        if one.key is not None:
            values.setdefault(one.key.upper(), set()).add(one.value)
            lines[one.key.upper()] = one.original.line
    return [(name, lines[name]) for name, found in values.items() if len(found) > 1]


def _bindings() -> list[Binding]:
    """Return the lines of `.env`; none if it cannot be read, which reading the settings reports."""
    try:
        return list(parse_stream(StringIO(Path(DOT_ENV).read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError):
        return []


def misspelt_names() -> list[tuple[str, str]]:
    """Return the unknown names in the environment and `.env` that resemble a setting, each with that setting."""
    known = {name.upper() for name in Settings.model_fields}
    try:
        names = {**dotenv_values(".env"), **os.environ}
    except ValueError:  # another encoding than UTF-8, which reading the settings reports
        names = {**os.environ}
    return sorted(production.misspelt([*names, *secret_files.names()], known).items())


def where_to_set(fault: str) -> str:
    """Return where to correct the setting whose name a fault begins with, or where it may be set."""
    path = Path(".env").absolute()
    name = fault.partition(" ")[0].rstrip(":")
    if name.lower() not in Settings.model_fields:
        return f"corrija {path}"
    if any(given.upper() == name and value for given, value in os.environ.items()):
        return f"corrija {name} no ambiente deste processo"
    in_files = [given for given in secret_files.names() if given.upper() == name]
    lines = [one.original.line for one in _bindings() if (one.key or "").upper() == name and one.value]
    if lines:
        return f"corrija {name} na linha {lines[-1]} de {path}"
    if in_files:
        return f"corrija o arquivo {in_files[0]} de {os.environ[secret_files.FOLDER]}"
    return f"defina {name} no ambiente ou em {path}"


def print_error(message: str) -> None:
    """Print an error for the operator."""
    err.print(f"[bold red]Erro:[/] {escape(message)}", soft_wrap=True, highlight=False)


def fail(message: str) -> NoReturn:
    """Print an error for the operator and exit with 1."""
    print_error(message)
    raise typer.Exit(1)


def database_of(settings: Settings) -> str:
    """Return PostgreSQL's address, or fail if there is none."""
    try:
        return settings.database()
    except LookupError:
        fail("DATABASE_URL não está definida e nenhum `carteira run` desta pasta está no ar.")


def refuse_database(settings: Settings) -> None:
    """Exit with 1 if the database must not be served from: behind a pooler, or owned by the role."""
    from carteira import database_state

    url = database_of(settings)
    reason = asyncio.run(database_state.refused_for(url, may_own=settings.may_own_tables))
    if reason is not None:
        fail(f"{reason}.")


def parse_head(text: str | None, example: str) -> tuple[int, bytes] | None:
    """Read `--expect`, the head that an earlier check of a hash chain printed; exit with 1 if it is invalid."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-fA-F]{64}", text):
        fail(f"--expect é {example}, como mostrado por uma conferência anterior.")
    height, _, digest = text.partition(":")
    return int(height), bytes.fromhex(digest)


def with_spinner(title: str, work: Callable[[], T]) -> T:
    """Run something behind a spinner."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=err, transient=True) as progress:
        progress.add_task(title, total=None)
        return work()


def run_quietly(title: str, work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine behind a spinner."""

    async def main() -> T:
        return await work()

    return with_spinner(title, lambda: asyncio.run(main()))


def run_with_bar(title: str, work: Callable[[Progress], Awaitable[T]]) -> T:
    """Run a coroutine behind a bar; it gets a callback for its progress: done and total."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

    async def main(report: Progress) -> T:
        return await work(report)

    with Bar(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=None)
        return asyncio.run(main(lambda done, total: progress.update(task, completed=done, total=total)))
