"""`carteira migrate` and `seed`: the database's schema and its demo data."""

import asyncio
from typing import Annotated

import typer

from carteira.cli.terminal import database_of, err, fail, run_quietly, settings_here, with_spinner
from carteira.settings import Settings


def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Só mostra o DDL, do vazio até a última migração.")] = False,
    revision: Annotated[str, typer.Option(help="Revisão a alcançar.")] = "head",
    create_role: Annotated[
        bool,
        typer.Option("--create-role", help="Antes, cria o usuário de DATABASE_URL com a sua senha, ou troca a senha."),
    ] = False,
) -> None:
    """Leva o banco de dados à última migração, e concede ao usuário de DATABASE_URL o que o serviço pode."""
    from carteira import database_state, schema
    from carteira.kit.db.address import DatabaseAddress
    from carteira.kit.db.rights import RoleMissing

    if not schema.is_known(revision):
        fail(f"não há a revisão {revision}: a última desta versão é a {schema.head()}.")
    if sql:
        schema.print_sql(revision)
        return
    settings = settings_here()
    service = DatabaseAddress.parse(database_of(settings)).user
    owner = settings.owner_database()
    if (refused := asyncio.run(database_state.refused_for(owner, may_own=True))) is not None:
        fail(f"{refused}.")
    if create_role:
        _create_role(settings, service)
    with_spinner("Migrando o banco de dados", lambda: schema.migrate(owner, revision))
    try:
        with_spinner("Concedendo os direitos", lambda: schema.grant(owner, service))
    except RoleMissing as missing:
        fail(
            f"o banco de dados está em dia, mas o usuário {missing} de DATABASE_URL não existe: crie-o "
            f"(createuser --pwprompt {missing}) e execute `carteira migrate` de novo."
        )
    err.print("Banco de dados em dia.")


def _create_role(settings: Settings, role: str) -> None:
    """Create the role of DATABASE_URL as the owner, for managed PostgreSQL servers."""
    import psycopg

    from carteira import schema

    owner, service = settings.owner_database(), database_of(settings)
    try:
        made = schema.make_role(owner, service)
    except KeyError:
        fail("DATABASE_URL não diz a senha do usuário: sem ela não há o que criar.")
    except psycopg.errors.InsufficientPrivilege:
        fail(
            f"o usuário de MIGRATION_DATABASE_URL não pode criar {role}, nem trocar a sua senha: dê-lhe CREATEROLE, ou "
            f"crie-o você (createuser --pwprompt {role})."
        )
    err.print(f"Usuário {role} criado." if made else f"Usuário {role} em dia.", highlight=False)


def seed(
    remove: Annotated[
        bool, typer.Option("--remove", help="Apaga as pessoas de demonstração, em qualquer ambiente.")
    ] = False,
) -> None:
    """Preenche o banco com dados de demonstração (só em desenvolvimento), ou apaga as pessoas deles."""
    settings = settings_here()
    url = database_of(settings)
    if remove:
        removed = run_quietly("Apagando as pessoas de demonstração", lambda: _remove(settings))
        err.print(f"{removed} pessoas de demonstração apagadas.", highlight=False)
        return
    if settings.environment != "development":
        fail("dados de demonstração só existem em desenvolvimento.")
    from carteira import demo

    run_quietly("Criando os dados de demonstração", lambda: demo.seed(url, settings.modules))
    err.print("Dados de demonstração prontos.")


async def _remove(settings: Settings) -> int:
    """Compose the product without serving it, since each module erases its part of a person."""
    from carteira import demo, identity
    from carteira.app import create_app
    from carteira.kit.web.state import DATABASE

    api = create_app(settings).api
    async with api.router.lifespan_context(api):
        return await demo.remove(DATABASE.of(api), identity.RUNTIME.of(api))
