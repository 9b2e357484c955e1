"""`carteira users …`: people exported, and everybody signed out."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from carteira.cli.errors import system_message
from carteira.cli.terminal import database_of, fail, out, run_with_bar, settings_here
from carteira.kit.db.address import Replica
from carteira.kit.ops.progress import Progress
from carteira.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Pessoas.")


class ExportFormat(StrEnum):
    """The format of an export of people."""

    XLSX = "xlsx"
    CSV = "csv"


@app.command("export")
def export_users(
    path: Annotated[Path, typer.Argument(metavar="arquivo", help="Arquivo a escrever; um que exista é trocado.")],
    form: Annotated[ExportFormat, typer.Option("--format", help="Formato do arquivo.")] = ExportFormat.XLSX,
) -> None:
    """Exporta as pessoas, sem senhas e com CPFs mascarados."""
    settings = settings_here()
    url = database_of(settings)
    try:
        written = run_with_bar(
            "Exportando as pessoas", lambda report: _export(url, settings.replica(), path, form, report)
        )
    except OSError as error:
        fail(f"{path} não pôde ser escrito: {system_message(error)}")
    out.print(f"{written} pessoas em {path}", highlight=False, soft_wrap=True)


async def _export(url: str, replica: Replica | None, path: Path, form: ExportFormat, progress: Progress) -> int:
    """Write everybody to a file, CPFs masked, and a look at each to the audit; return how many there were.

    Raises:
        OSError: the file cannot be written.
    """
    from carteira import identity
    from carteira.kit.db.engine import open_database
    from carteira.kit.security import audit
    from carteira.kit.values.actor import Actor

    async with open_database(url, replica=replica) as database:
        look = audit.look("users_exported", actor=Actor("command", "users export"), format=form.value)
        return await identity.export_users(database, path, form=form.value, look=look, progress=progress)


@app.command("sign-out")
def sign_out(
    *, everyone: Annotated[bool, typer.Option("--everyone", help="Encerra as sessões de todas as pessoas.")] = False
) -> None:
    """Encerra todas as sessões, na hora: depois de um vazamento, junto com a troca da chave."""
    if not everyone:
        fail("diga --everyone; as sessões de uma pessoa se encerram em DELETE /users/{id}/sessions")
    settings = settings_here()
    database_of(settings)
    ended = asyncio.run(_sign_out(settings))
    out.print(f"{ended} sessões encerradas", highlight=False)


async def _sign_out(settings: Settings) -> int:
    from carteira import identity
    from carteira.app import identity_config
    from carteira.kit.db.engine import open_database
    from carteira.kit.outbound import redis

    connection = redis.connect(url) if (url := settings.redis()) else None
    try:
        async with open_database(settings.database()) as database:
            return await identity.sign_everybody_out(database, connection, identity_config(settings))
    finally:
        if connection is not None:
            await connection.aclose()
