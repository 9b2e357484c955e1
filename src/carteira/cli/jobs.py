"""`carteira jobs …`: failed jobs."""

from typing import TYPE_CHECKING, Annotated

import typer

from carteira.cli.terminal import database_of, out, run_quietly, settings_here

if TYPE_CHECKING:
    from carteira.kit.db.jobs import FailedJob

app = typer.Typer(no_args_is_help=True, help="Trabalhos abandonados.")

_MOST = 2**63 - 1
"""A job's number is a `bigint`."""
_GONE = "Não há trabalho abandonado com o número {}."


@app.command()
def failed() -> None:
    """Lista os trabalhos abandonados, do mais antigo ao mais novo."""
    found = run_quietly("Lendo a fila", lambda: _failed(database_of(settings_here())))
    for job in found:
        why = next(iter(job.failure), "sem causa anotada")
        out.print(f"{job.id}  {job.task}  {job.attempts} tentativas, desde {job.failed_at:%Y-%m-%d %H:%M} UTC: {why}")
    out.print(f"{len(found)} trabalho(s) abandonado(s).")


@app.command()
def retry(
    number: Annotated[
        int | None, typer.Argument(metavar="número", min=1, max=_MOST, help="Número do trabalho.")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Todos os abandonados.")] = False,
) -> None:
    """Devolve um trabalho abandonado à fila, ou todos com --all."""
    if (number is None) is not everything:
        raise typer.BadParameter("diga o número de um trabalho, ou --all")
    count = run_quietly("Devolvendo à fila", lambda: _retry(database_of(settings_here()), number))
    if not count and number is not None:
        out.print(_GONE.format(number))
        raise typer.Exit(1)
    out.print(f"{count} trabalho(s) de volta à fila.")


@app.command()
def drop(
    number: Annotated[int, typer.Argument(metavar="número", min=1, max=_MOST, help="Número do trabalho.")],
) -> None:
    """Apaga um trabalho abandonado, que ninguém mais quer."""
    if not run_quietly("Apagando", lambda: _drop(database_of(settings_here()), number)):
        out.print(_GONE.format(number))
        raise typer.Exit(1)
    out.print("Apagado.")


async def _failed(url: str) -> "list[FailedJob]":
    from carteira.kit.db import jobs
    from carteira.kit.db.engine import open_database

    async with open_database(url) as database, database.transaction() as tx:
        return await jobs.failed(tx)


async def _retry(url: str, number: int | None) -> int:
    from carteira.kit.db import jobs
    from carteira.kit.db.engine import open_database

    async with open_database(url) as database, database.transaction() as tx:
        return await jobs.retry(tx, number)


async def _drop(url: str, number: int) -> bool:
    from carteira.kit.db import jobs
    from carteira.kit.db.engine import open_database

    async with open_database(url) as database, database.transaction() as tx:
        return await jobs.drop(tx, number)
