"""`carteira token` and `openapi`: commands for developers."""

import asyncio
import json
import sys
from typing import Annotated

import typer

from carteira.cli.terminal import database_of, fail, settings_here


def token(
    claims: Annotated[str | None, typer.Option(help="Permissões, separadas por vírgula, ou '*' para todas.")] = None,
    processor: Annotated[bool, typer.Option("--processor", help="Token da processadora, para o autorizador.")] = False,
    email: Annotated[str | None, typer.Option("--as", help="E-mail de quem o token representa.")] = None,
) -> None:
    """Mostra um token válido por 24 horas (só em desenvolvimento)."""
    settings = settings_here()
    if settings.environment != "development":
        fail("fora de desenvolvimento os tokens vêm do login e da processadora.")
    if [processor, claims is not None, email is not None].count(True) != 1:
        fail("use --claims users:read,… (ou '*'), --as <e-mail> ou --processor: só um deles.")
    from carteira.cli import tokens

    if processor:
        made = tokens.processor(settings, tokens.TTL)
    elif email is not None:
        person = asyncio.run(tokens.find(database_of(settings), email))
        if person is None:
            fail(f"ninguém tem o e-mail {email}.")
        made = tokens.of_person(settings, person.id, person.claims, tokens.TTL)
    else:
        names = [name.strip() for name in (claims or "").split(",") if name.strip()]
        made = tokens.administrator(settings, names, tokens.TTL)
    sys.stdout.write(made + "\n")


def openapi(
    postman: Annotated[bool, typer.Option("--postman", help="Como coleção do Postman (v2.1).")] = False,
) -> None:
    """Mostra o contrato da API em JSON: OpenAPI, ou uma coleção do Postman."""
    from carteira.app import create_app
    from carteira.kit.web.postman import collection

    settings = settings_here()
    document = create_app(settings).api.openapi()
    if postman:
        document = collection(document, settings.address)
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
