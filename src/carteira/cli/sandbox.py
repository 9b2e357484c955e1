"""`carteira sandbox …`: stand-ins of other people's services."""

from pathlib import Path
from typing import Annotated

import typer

from carteira.cli import terminal
from carteira.cli.errors import system_message
from carteira.cli.terminal import fail

app = typer.Typer(no_args_is_help=True, help="Substitutos dos serviços externos (não em produção).")


@app.callback()
def sandbox() -> None:
    """Substitutos dos serviços externos (não em produção)."""


@app.command()
def cashback(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Porta em que escuta.")] = 8190,
    host: Annotated[str, typer.Option(help="Endereço em que escuta; em um contêiner, 0.0.0.0.")] = "127.0.0.1",
    token: Annotated[str, typer.Option(help="Token que o serviço espera.")] = "sandbox",  # noqa: S107 - a public value
) -> None:
    """Faz as vezes do serviço externo de cashback acumulado; pode ser lento, errado ou fora do ar."""
    if terminal.written("ENVIRONMENT") == "production":
        fail("substitutos de serviços não existem em produção.")
    from carteira import resellers

    try:
        resellers.serve_sandbox(port, token=token, host=host)
    except OSError as error:
        fail(f"não dá para escutar em {host}:{port} ({system_message(error)}).")


@app.command()
def pix(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Porta da API Pix (TLS mútuo).")] = 8191,
    page_port: Annotated[int, typer.Option(min=1, max=65535, help="Porta da página de quem paga.")] = 8192,
    folder: Annotated[Path, typer.Option(help="Pasta dos livros e dos certificados.")] = Path(".carteira/pix"),
    webhook: Annotated[str | None, typer.Option(help="Onde avisa dos pagamentos; sem ele, onde lhe disseram.")] = None,
    host: Annotated[str, typer.Option(help="Endereço em que escuta; em um contêiner, 0.0.0.0.")] = "127.0.0.1",
) -> None:
    """Faz as vezes do provedor de pagamentos Pix; pode ser lento, errado ou fora do ar, e enviar avisos defeituosos."""
    if terminal.written("ENVIRONMENT") == "production":
        fail("substitutos de serviços não existem em produção.")
    from carteira import payments

    try:
        payments.serve_sandbox(port, page_port, folder.absolute(), webhook, host=host)
    except OSError as error:
        fail(f"não dá para escutar em {host}:{port} e :{page_port} ({system_message(error)}).")
