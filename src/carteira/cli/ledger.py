"""`carteira ledger …`: proofs over the ledger."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from carteira.cli.terminal import database_of, err, out, parse_head, run_quietly, settings_here

if TYPE_CHECKING:
    from carteira.kit.security.hash_chain import Head
    from carteira.ledger import ChainVerification, Reconciliation


app = typer.Typer(no_args_is_help=True, help="Conferências do livro-razão.")


_FINDINGS = {
    "tampered": "lançamento alterado",
    "removed": "lançamento removido",
    "added": "lançamento inserido fora da cadeia",
    "reordered": "lançamento fora de ordem",
    "broken_chain": "cadeia rompida",
}


SinceLast = Annotated[
    bool, typer.Option("--since-last", help="Só o que veio depois da última conferência; sem uma de que partir, tudo.")
]


@app.command()
def reconcile(since_last: SinceLast = False) -> None:
    """Compara cada saldo com os seus lançamentos e guarda o resultado; sai com 1 se algo diferir."""
    url = database_of(settings_here())
    result = run_quietly("Conferindo saldos e lançamentos", lambda: _reconcile(url, whole=not since_last))
    since = f" desde {result.since:%d/%m/%Y %H:%M} UTC" if result.since else ""
    out.print(f"{result.accounts} contas, {result.entries} lançamentos{since}, {len(result.differences)} diferenças.")
    for difference in result.differences:
        out.print(difference)
    if result.differences:
        raise typer.Exit(1)


@app.command()
def verify(
    expect: Annotated[
        str | None, typer.Option(help="Cabeça guardada antes, como ALTURA:HASH; a cadeia tem de passar por ela.")
    ] = None,
    since_last: SinceLast = False,
) -> None:
    """Confere a cadeia de hashes do livro-razão e guarda o resultado; sai com 1 e indica o que mudou."""
    head = parse_head(expect, "ALTURA:HASH")
    url = database_of(settings_here())
    total = None if since_last else asyncio.run(_count_entries(url))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("Conferindo a cadeia", total=total or None)

        def report(done: int) -> None:
            progress.update(task, completed=done)

        result = asyncio.run(_verify(url, whole=not since_last, expected=head, report=report))
    head_now = f"{result.height}:{result.head.hex()}"
    since = f" depois do bloco {result.since}" if result.since else ""
    out.print(f"{result.height} blocos, {result.rows} lançamentos{since}, cabeça {head_now}", soft_wrap=True)
    out.print(f"{result.tail} lançamentos ainda fora da cadeia, há {result.tail_seconds:.0f} s.")
    for finding in result.findings:
        where = f" no bloco {finding.height}" if finding.height is not None else ""
        out.print(f"[red]{_FINDINGS[finding.what]}[/]{where}: {finding.row_id or '-'}", highlight=False)
    if result.findings:
        raise typer.Exit(1)


async def _reconcile(url: str, *, whole: bool) -> "Reconciliation":
    """Compare balances with postings and holds, in one snapshot, and store the result."""
    from carteira import ledger
    from carteira.kit.db.engine import open_database

    async with open_database(url) as database:
        return await ledger.prove_balances(database, whole=whole)


async def _verify(
    url: str, *, whole: bool, expected: "Head | None", report: Callable[[int], None]
) -> "ChainVerification":
    """Verify the hash chain in one snapshot, store the result, and report the number of verified entries."""
    from carteira import ledger
    from carteira.kit.db.engine import open_database

    async with open_database(url) as database:
        return await ledger.prove_chain(database, whole=whole, expected=expected, report=report)


async def _count_entries(url: str) -> int:
    """Return an estimate of the number of entries, for a progress bar."""
    from carteira.kit.db.engine import open_database
    from carteira.kit.db.session import fetch

    statement = """
        SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint
        FROM pg_partition_tree('ledger_entries') JOIN pg_class ON oid = relid WHERE isleaf
    """
    async with open_database(url) as database, database.transaction() as tx:
        return sum(int(row[0]) for row in await fetch(tx, statement))
