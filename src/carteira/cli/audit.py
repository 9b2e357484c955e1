"""`carteira audit …`: proofs over the audit."""

from typing import TYPE_CHECKING, Annotated

import typer

from carteira.cli.terminal import database_of, out, parse_head, run_quietly, settings_here

if TYPE_CHECKING:
    from carteira.kit.security.hash_chain import ChainVerification

app = typer.Typer(no_args_is_help=True, help="Conferências da auditoria.")

_FINDINGS = {
    "tampered": "registro alterado",
    "removed": "registro removido",
    "added": "registro inserido fora da cadeia",
    "reordered": "registro fora de ordem",
    "broken_chain": "cadeia rompida",
    "forgotten_early": "registros esquecidos antes do prazo",
}


@app.callback()
def audit() -> None:
    """Conferências da auditoria."""


@app.command()
def verify(
    expect: Annotated[
        str | None, typer.Option(help="Cabeça guardada antes, como ALTURA:HASH; a cadeia tem de passar por ela.")
    ] = None,
) -> None:
    """Confere a cadeia de hashes da auditoria; sai com 1 e indica o que mudou."""
    head = parse_head(expect, "ALTURA:HASH")
    url = database_of(settings_here())
    result = run_quietly("Conferindo a auditoria", lambda: _verify(url, head))
    head_now = f"{result.height}:{result.head.hex()}"
    out.print(f"{result.height} blocos, {result.rows} registros conferidos, cabeça {head_now}", soft_wrap=True)
    if result.forgotten:
        out.print(f"Os registros até o bloco {result.forgotten} já passaram do prazo e foram apagados.")
    out.print(f"{result.tail} registros ainda fora da cadeia.")
    for finding in result.findings:
        where = f" no bloco {finding.height}" if finding.height is not None else ""
        out.print(f"[red]{_FINDINGS[finding.what]}[/]{where}: {finding.row_id or '-'}", highlight=False)
    if result.findings:
        raise typer.Exit(1)


async def _verify(url: str, expected: tuple[int, bytes] | None) -> "ChainVerification":
    """Verify the hash chain in one snapshot."""
    from carteira.kit.db.engine import open_database
    from carteira.kit.security.audit_chain import verify as verify_chain
    from carteira.kit.security.hash_chain import ChainVerification

    result = ChainVerification()
    async with open_database(url) as database, database.transaction() as tx:
        async for so_far in verify_chain(tx, expected=expected):
            result = so_far
    return result
