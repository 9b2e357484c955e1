"""`carteira audit …`: proofs over the audit."""

from typing import TYPE_CHECKING, Annotated

import typer

from carteira.cli.terminal import database_of, out, parse_head, run_quietly, settings_here

if TYPE_CHECKING:
    from carteira.kit.security.hash_chain import ChainVerification, Head

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
    since_last: Annotated[
        bool,
        typer.Option("--since-last", help="Só o que veio depois da última conferência; sem uma de que partir, tudo."),
    ] = False,
) -> None:
    """Confere a cadeia de hashes da auditoria e guarda o resultado; sai com 1 e indica o que mudou."""
    head = parse_head(expect, "ALTURA:HASH")
    url = database_of(settings_here())
    result = run_quietly("Conferindo a auditoria", lambda: _verify(url, head, whole=not since_last))
    head_now = f"{result.height}:{result.head.hex()}"
    since = f" depois do bloco {result.since}" if result.since else ""
    out.print(f"{result.height} blocos, {result.rows} registros conferidos{since}, cabeça {head_now}", soft_wrap=True)
    if result.forgotten:
        out.print(f"Os registros até o bloco {result.forgotten} já passaram do prazo e foram apagados.")
    out.print(f"{result.tail} registros ainda fora da cadeia.")
    for finding in result.findings:
        where = f" no bloco {finding.height}" if finding.height is not None else ""
        out.print(f"[red]{_FINDINGS[finding.what]}[/]{where}: {finding.row_id or '-'}", highlight=False)
    if result.findings:
        raise typer.Exit(1)


async def _verify(url: str, expected: "Head | None", *, whole: bool) -> "ChainVerification":
    """Verify the hash chain in one snapshot, and store the result."""
    from carteira.kit.db.engine import open_database
    from carteira.kit.security import audit_checks

    async with open_database(url) as database:
        return await audit_checks.verify(database, whole=whole, expected=expected)
