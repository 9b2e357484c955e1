"""`carteira payments …`: the payment provider, as an operator sets it up and compares with it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from carteira.cli.errors import system_message
from carteira.cli.terminal import database_of, fail, out, run_quietly, settings_here

if TYPE_CHECKING:
    from carteira.kit.db.engine import Database
    from carteira.payments import DayComparison, Payments
    from carteira.settings import Settings

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Pagamentos por Pix: o provedor e a conferência com ele.")


@app.callback()
def payments() -> None:
    """Pagamentos por Pix: o provedor e a conferência com ele."""


@app.command()
def check() -> None:
    """Pede um token ao provedor e lê a lista de hoje: certificados, credenciais e chave estão certos?"""
    settings = settings_here()
    count = _asked("Perguntando ao provedor", settings, lambda door: door.count_today())
    out.print(f"O provedor responde: {count} pagamento(s) hoje.", highlight=False)


@app.command()
def webhook() -> None:
    """Diz ao provedor onde avisar dos pagamentos (PIX_WEBHOOK_URL)."""
    settings = settings_here()
    if settings.pix_webhook_url is None:
        fail("PIX_WEBHOOK_URL não está definida.")
    url = _asked("Falando com o provedor", settings, lambda door: door.register_webhook())
    out.print(f"O provedor avisa em {url}/pix.", highlight=False, soft_wrap=True)


@app.command()
def reconcile(
    day: Annotated[str | None, typer.Option(help="Dia, como 31/12/2026 ou 2026-12-31; sem ele, ontem.")] = None,
) -> None:
    """Confere um dia com a lista do provedor; sai com 1 se algo diferir."""
    from carteira.kit.values.days import InvalidDay, read_day

    try:
        asked = None if day is None else read_day(day)
    except InvalidDay as error:
        raise typer.BadParameter(str(error)) from error
    settings = settings_here()
    compared = _asked("Conferindo com o provedor", settings, lambda door: _compare(settings, door, asked))
    out.print(
        f"{compared.day:%d/%m/%Y}: {compared.matched} iguais, {compared.missing_here} só no provedor, "
        f"{compared.missing_there} só aqui, {compared.amount_differs} com valor diferente.",
        highlight=False,
        soft_wrap=True,
    )
    if compared.differs:
        raise typer.Exit(1)


async def _compare(settings: "Settings", door: "Payments", day: date | None) -> "DayComparison":
    from carteira import payments as module

    async with _database(settings) as database:
        return await module.compare_day(database, door, day)


@asynccontextmanager
async def _database(settings: "Settings") -> "AsyncIterator[Database]":
    from carteira.kit.db.engine import open_database

    async with open_database(database_of(settings)) as database:
        yield database


def _asked(title: str, settings: "Settings", ask: "Callable[[Payments], Awaitable[T]]") -> T:
    """Call the provider; exit with 1 if none is configured, or its answer is missing or wrong."""
    from carteira import payments as module
    from carteira.app import payments_of

    if settings.pix_url is None:
        fail("PIX_URL não está definida: nenhum provedor de Pix está configurado.")
    try:
        return run_quietly(title, lambda: ask(payments_of(settings)))
    except OSError as error:
        why = f"{error.filename}: {system_message(error)}" if error.filename else "não são um par em PEM"
        fail(f"os arquivos de certificado e chave não servem ({why}).")
    except module.PaymentProviderDown as down:
        fail(f"o provedor não respondeu como devia ({down.__cause__ or 'fora do ar'}).")
    except module.ProviderRefused as refused:
        fail(f"o provedor recusou ({refused}).")
