"""`carteira users …`: people, exported."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from carteira.cli.terminal import database_of, fail, out, run_with_bar, settings_here
from carteira.kit.ops.progress import Progress

app = typer.Typer(no_args_is_help=True, help="Pessoas.")


class ExportFormat(StrEnum):
    """What the people are exported as."""

    XLSX = "xlsx"
    CSV = "csv"


@app.command("export")
def export_users(
    path: Annotated[Path, typer.Argument(help="Arquivo a escrever; um que exista é trocado.")],
    form: Annotated[ExportFormat, typer.Option("--format", help="Formato do arquivo.")] = ExportFormat.XLSX,
) -> None:
    """Exporta as pessoas, sem senhas e com CPFs mascarados."""
    url = database_of(settings_here())
    try:
        written = run_with_bar("Exportando as pessoas", lambda tell: _export(url, path, form, tell))
    except OSError as error:
        fail(f"{path} não pôde ser escrito: {error.strerror}")
    out.print(f"{written} pessoas em {path}", highlight=False, soft_wrap=True)


async def _export(url: str, path: Path, form: ExportFormat, progress: Progress) -> int:
    """Write everybody to a file, CPFs masked, and the fact to the audit; return how many there were.

    Raises:
        OSError: the file cannot be written.
    """
    from carteira import identity
    from carteira.kit.db.engine import open_database
    from carteira.kit.security import audit
    from carteira.kit.values.actor import Actor

    async with open_database(url) as database:
        written = await identity.export_users(database, path, form=form.value, progress=progress)
        async with database.transaction() as tx:
            await audit.record_look_at_everybody(
                tx, "users_exported", actor=Actor("command", "users export"), format=form.value
            )
    return written
