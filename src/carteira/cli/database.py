"""`carteira migrate` and `seed`: the database's schema and its demo data."""

from typing import Annotated

import typer

from carteira.cli.terminal import database_of, err, fail, run_quietly, settings_here, with_spinner


def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Só mostra o DDL, do vazio até a última migração.")] = False,
    revision: Annotated[str, typer.Option(help="Revisão a alcançar.")] = "head",
) -> None:
    """Leva o banco de dados à última migração."""
    from carteira import schema

    if sql:
        schema.print_sql(revision)
        return
    settings = settings_here()
    url = database_of(settings)
    with_spinner("Migrando o banco de dados", lambda: schema.migrate(url, revision))
    err.print("Banco de dados em dia.")


def seed() -> None:
    """Preenche o banco com dados de demonstração (só em desenvolvimento)."""
    settings = settings_here()
    if settings.environment == "production":
        fail("dados de demonstração não existem em produção.")
    from carteira import demo

    url = database_of(settings)
    run_quietly("Criando os dados de demonstração", lambda: demo.seed(url, settings.modules))
    err.print("Dados de demonstração prontos.")
