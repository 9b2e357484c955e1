"""The command line: `carteira run` starts everything; the other commands serve operators and containers."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from carteira import credit_commands, launcher
from carteira.settings import InsecureProduction, Settings
from carteira.terminal import (
    database_of,
    describe,
    err,
    fail,
    out,
    run_quietly,
    run_with_bar,
    settings_here,
    with_spinner,
)


class ExportFormat(StrEnum):
    """What the people are exported as."""

    XLSX = "xlsx"
    CSV = "csv"


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
ledger_app = typer.Typer(no_args_is_help=True, help="Conferências do livro-razão.")
app.add_typer(ledger_app, name="ledger")
sandbox_app = typer.Typer(no_args_is_help=True, help="Substitutos dos serviços externos (só em desenvolvimento).")
app.add_typer(sandbox_app, name="sandbox")
keys_app = typer.Typer(no_args_is_help=True, help="Chaves que assinam.")
app.add_typer(keys_app, name="keys")
documents_app = typer.Typer(no_args_is_help=True, help="Documentos guardados.")
app.add_typer(documents_app, name="documents")
users_app = typer.Typer(no_args_is_help=True, help="Pessoas.")
app.add_typer(users_app, name="users")
app.add_typer(credit_commands.app, name="credit")


@app.command()
def run(
    debug: Annotated[bool, typer.Option("--debug", help="Recarrega a cada mudança e mostra mais.")] = False,
) -> None:
    """Inicia tudo: bancos locais, migrações, dados de demonstração, servidor e worker."""
    try:
        settings = Settings()
        if debug:
            settings = settings.model_copy(update={"debug": True, "log_level": "debug"})
        launcher.run(settings, out)
    except (ValidationError, InsecureProduction, launcher.StartFailed) as error:
        fail(describe(error))


@app.command()
def serve() -> None:
    """Serve a API e o autorizador (HOST, PORT, WORKERS)."""
    settings = settings_here()
    try:
        launcher.check_address(settings)
    except launcher.StartFailed as error:
        fail(str(error))
    with ExitStack() as stack:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            folder = tempfile.TemporaryDirectory(prefix="carteira-metrics-", ignore_cleanup_errors=True)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(folder)
            # The server raises again what ended it; by default that would end us before the folder is gone.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        from carteira.server import serve as start  # noqa: PLC0415 - prometheus-client reads its folder at import

        start(settings)


@app.command()
def worker() -> None:
    """Executa os trabalhos da fila, os periódicos e os seguidores de eventos."""
    settings_here()
    from carteira.worker import main  # noqa: PLC0415 - as in `serve`

    main()


@app.command()
def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Só mostra o DDL, do vazio até a última migração.")] = False,
    revision: Annotated[str, typer.Option(help="Revisão a alcançar.")] = "head",
) -> None:
    """Leva o banco de dados à última migração."""
    from carteira import schema  # noqa: PLC0415 - alembic is slow to import

    if sql:
        schema.print_sql(revision)
        return
    settings = settings_here()
    url = database_of(settings)
    with_spinner("Migrando o banco de dados", lambda: schema.migrate(url, revision))
    err.print("Banco de dados em dia.")


@app.command()
def seed() -> None:
    """Preenche o banco com dados de demonstração (só em desenvolvimento)."""
    settings = settings_here()
    if settings.environment == "production":
        fail("dados de demonstração não existem em produção.")
    from carteira import demo  # noqa: PLC0415 - as in `serve`

    url = database_of(settings)
    run_quietly("Criando os dados de demonstração", lambda: demo.seed(url, settings.modules))
    err.print("Dados de demonstração prontos.")


@app.command()
def token(
    claims: Annotated[str | None, typer.Option(help="Permissões, separadas por vírgula, ou '*' para todas.")] = None,
    processor: Annotated[bool, typer.Option("--processor", help="Token do processador, para o autorizador.")] = False,
) -> None:
    """Mostra um token válido por 24 horas (só em desenvolvimento)."""
    settings = settings_here()
    if settings.environment == "production":
        fail("em produção os tokens vêm do login e do processador.")
    if processor == (claims is not None):
        fail("use --claims users:read,… (ou '*') ou --processor.")
    from carteira import operator_tokens  # noqa: PLC0415 - as in `serve`

    if processor:
        sys.stdout.write(operator_tokens.processor(settings, operator_tokens.TTL) + "\n")
    else:
        names = [name.strip() for name in (claims or "").split(",") if name.strip()]
        sys.stdout.write(operator_tokens.administrator(settings, names, operator_tokens.TTL) + "\n")


@app.command()
def openapi(
    postman: Annotated[bool, typer.Option("--postman", help="Como coleção do Postman (v2.1).")] = False,
) -> None:
    """Mostra o contrato da API em JSON: OpenAPI, ou uma coleção do Postman."""
    from carteira.app import create_app  # noqa: PLC0415 - as in `serve`
    from carteira.kit.web.postman import collection  # noqa: PLC0415 - the same

    settings = settings_here()
    document = create_app(settings).api.openapi()
    if postman:
        document = collection(document, settings.public_url or f"http://localhost:{settings.port}")
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


@ledger_app.command()
def reconcile() -> None:
    """Compara cada saldo com os seus lançamentos; sai com 1 se algo diferir."""
    from carteira import audit  # noqa: PLC0415 - as in `serve`

    url = database_of(settings_here())
    result = run_quietly("Conferindo saldos e lançamentos", lambda: audit.reconcile(url))
    out.print(f"{result.accounts} contas, {result.entries} lançamentos, {len(result.differences)} diferenças.")
    for difference in result.differences:
        out.print(difference)
    if result.differences:
        raise typer.Exit(1)


@ledger_app.command()
def verify(
    expect: Annotated[
        str | None, typer.Option(help="Cabeça guardada antes, como ALTURA:HASH; a cadeia tem de passar por ela.")
    ] = None,
) -> None:
    """Confere a cadeia de hashes do livro-razão; sai com 1 e dá nome ao que mudou."""
    from carteira import audit  # noqa: PLC0415 - as in `serve`

    head: tuple[int, bytes] | None = None
    if expect is not None:
        height, _, digest = expect.partition(":")
        try:
            head = int(height), bytes.fromhex(digest)
        except ValueError:
            fail("--expect é ALTURA:HASH, como mostrado por uma conferência anterior.")
    url = database_of(settings_here())
    total = asyncio.run(audit.count_entries(url))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("Conferindo a cadeia", total=total or None)
        result = asyncio.run(
            audit.verify(url, expected=head, progress=lambda done: progress.update(task, completed=done))
        )
    head_now = f"{result.blocks}:{result.head.hex()}"
    out.print(f"{result.blocks} blocos, {result.entries} lançamentos, cabeça {head_now}", soft_wrap=True)
    out.print(f"{result.tail} lançamentos ainda fora da cadeia, há {result.tail_seconds:.0f} s.")
    for finding in result.findings:
        where = f" no bloco {finding.height}" if finding.height is not None else ""
        out.print(f"[red]{_FINDINGS[finding.what]}[/]{where}: {finding.entry_id or '-'}", highlight=False)
    if result.findings:
        raise typer.Exit(1)


@keys_app.command("rotate")
def rotate_access_key() -> None:
    """Troca a chave que assina os tokens das pessoas; a antiga ainda confere por 25 horas."""
    from carteira import upkeep  # noqa: PLC0415 - as in `serve`

    try:
        kid = upkeep.rotate_access_key(settings_here())
    except (OSError, ValueError) as error:
        fail(f"a chave não pôde ser trocada: {error}")
    out.print(f"Nova chave: {kid}", highlight=False)


@documents_app.command("rotate-key")
def rotate_documents_key(
    add: Annotated[
        bool, typer.Option("--new/--no-new", help="Cria a chave nova, ou usa a mais nova que já está no arquivo.")
    ] = True,
) -> None:
    """Troca a chave-mestra dos documentos, com o servidor no ar; sai com 1 se alguma chave não abrir."""
    from carteira import upkeep  # noqa: PLC0415 - as in `serve`

    settings = settings_here()
    url = database_of(settings)
    try:
        result = run_with_bar(
            "Trocando a chave-mestra", lambda tell: upkeep.rotate_documents_key(url, settings, tell, add_key=add)
        )
    except (OSError, ValueError) as error:
        fail(f"a chave-mestra não pôde ser trocada: {error}")
    out.print(f"Chave-mestra {result.active_key}: {result.rewrapped} arquivos passaram para ela.", highlight=False)
    if result.retired:
        out.print(f"Chaves que saíram do arquivo: {', '.join(result.retired)}", highlight=False)
    if result.unreadable:
        fail(f"{result.unreadable} arquivos têm chaves que nenhuma chave-mestra abre.")


@users_app.command("export")
def export_users(
    path: Annotated[Path, typer.Argument(help="Arquivo a escrever; um que exista é trocado.")],
    form: Annotated[ExportFormat, typer.Option("--format", help="Formato do arquivo.")] = ExportFormat.XLSX,
) -> None:
    """Exporta as pessoas, sem senhas e com CPFs mascarados."""
    from carteira import upkeep  # noqa: PLC0415 - as in `serve`

    url = database_of(settings_here())
    try:
        written = run_with_bar("Exportando as pessoas", lambda tell: upkeep.export_users(url, path, form.value, tell))
    except OSError as error:
        fail(f"{path} não pôde ser escrito: {error.strerror}")
    out.print(f"{written} pessoas em {path}", highlight=False, soft_wrap=True)


_FINDINGS = {
    "tampered": "lançamento alterado",
    "removed": "lançamento removido",
    "added": "lançamento inserido fora da cadeia",
    "reordered": "lançamento fora de ordem",
    "broken_chain": "cadeia rompida",
}


@sandbox_app.callback()
def sandbox() -> None:
    """Substitutos dos serviços externos (só em desenvolvimento)."""


@sandbox_app.command()
def cashback(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Porta em 127.0.0.1.")] = 8190,
    token: Annotated[str, typer.Option(help="Token que o serviço espera.")] = "sandbox",  # noqa: S107 - guards nothing
) -> None:
    """Faz as vezes do serviço externo de cashback acumulado; pode ser lento, errado ou fora do ar."""
    from carteira import resellers  # noqa: PLC0415 - as in `serve`

    try:
        resellers.serve_sandbox(port, token=token)
    except OSError as error:
        fail(f"não dá para escutar em 127.0.0.1:{port} ({error.strerror}).")


def main() -> None:
    """Run the command line."""
    os.umask(0o077)
    app()
