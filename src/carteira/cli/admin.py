"""`carteira admin …`: makes the first administrator, or another one where none is left."""

from typing import Annotated

import typer

from carteira.cli.terminal import database_of, err, fail, out, run_quietly, settings_here
from carteira.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Administração.")


@app.callback()
def _group() -> None:
    """Keep `create` a command of its own name."""


@app.command("create")
def create(
    email: Annotated[str, typer.Option(help="E-mail de quem vai administrar.")],
    name: Annotated[str, typer.Option(help="Nome e sobrenome; vale para quem ainda não tem cadastro.")],
) -> None:
    """Convida alguém a administrar: mostra o link uma única vez e o envia por e-mail."""
    from pydantic import TypeAdapter, ValidationError

    from carteira import identity
    from carteira.kit.values.email import Email

    settings = settings_here()
    url = database_of(settings)
    try:
        full_name = TypeAdapter(identity.FullName).validate_python(name)
        address = TypeAdapter(Email).validate_python(email)
    except ValidationError as error:
        fail(error.errors()[0]["msg"])
    try:
        link, sent = run_quietly("Convidando", lambda: _invite(url, settings, full_name, address))
    except identity.AccountSuspended:
        fail(f"o acesso de {address} está suspenso.")
    err.print(f"Convite para {address}, por {identity.INVITATION_DAYS} dias, uma vez:", highlight=False)
    out.print(link, highlight=False, soft_wrap=True)
    err.print("Também foi enviado por e-mail." if sent else "O e-mail não pôde ser enviado: entregue o link.")


async def _invite(url: str, settings: Settings, full_name: str, email: str) -> tuple[str, bool]:
    """Invite somebody and send them the link; return it, and whether the message went out."""
    from carteira import identity
    from carteira.app import mailer_of
    from carteira.kit.db.engine import open_database
    from carteira.kit.values.actor import Actor

    async with open_database(url) as database, database.transaction() as tx:
        invited = await identity.invite_administrator(tx, full_name, email, actor=Actor("command", "admin create"))
    link = f"{settings.address}/auth/invitation?token={invited.token}"
    sent = await identity.send_invitation(mailer_of(settings), email, invited, link)
    return link, sent
