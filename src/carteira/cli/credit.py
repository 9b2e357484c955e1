"""`carteira credit …`: keys, the access log, the export, the synthetic people and the score's training."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carteira.cli.terminal import (
    database_of,
    fail,
    out,
    parse_head,
    run_quietly,
    run_with_bar,
    settings_here,
    with_spinner,
)
from carteira.settings import Settings

if TYPE_CHECKING:
    from carteira.credit import CreditConfig

app = typer.Typer(no_args_is_help=True, help="Perfil de crédito.")


def _config(settings: Settings) -> "CreditConfig":
    from carteira.app import credit_config

    return credit_config(settings)


@app.command("verify-accesses")
def verify_accesses(
    expect: Annotated[str | None, typer.Option(help="Cabeça guardada de uma conferência anterior.")] = None,
) -> None:
    """Confere o registro de acessos à base A; sai com 1 se algo nele mudou."""
    from carteira import credit

    head = parse_head(expect, "NÚMERO:HASH")
    noted = f"{head[0]}:{head[1].hex()}" if head else None
    settings = settings_here()
    config, url = _config(settings), database_of(settings)
    result = run_quietly(
        "Conferindo o registro de acessos", lambda: credit.verify_accesses(config, url, noted_head=noted)
    )
    out.print(f"{result.checked} acessos conferidos, cabeça {result.head}", highlight=False, soft_wrap=True)
    if result.broken_at is not None:
        fail(f"o registro foi alterado a partir do acesso {result.broken_at}.")


@app.command()
def generate(
    people: Annotated[int, typer.Option(min=1, max=10_000_000, help="Quantas pessoas sintéticas.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Semente: a mesma dá as mesmas pessoas.")] = 1,
) -> None:
    """Cria pessoas sintéticas, com verdade conhecida, em uma tabela à parte (não em produção)."""
    from carteira import credit

    config = _config(settings_here())
    try:
        table = run_with_bar(
            "Criando pessoas sintéticas",
            lambda report: credit.generate_people(config, people=people, seed=seed, progress=report),
        )
    except (credit.NotInProduction, credit.MissingLibrary) as error:
        fail(str(error) or "pessoas sintéticas não existem em produção.")
    out.print(f"{people} pessoas em {table}", highlight=False)


@app.command("export")
def export_people(
    folder: Annotated[
        Path, typer.Argument(metavar="pasta", help="Pasta dos arquivos Parquet; uma exportação interrompida continua.")
    ],
    segments: Annotated[int, typer.Option(min=1, max=64, help="Leituras em paralelo.")] = 8,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="As pessoas sintéticas, não as reais.")] = False,
) -> None:
    """Exporta a base B para Parquet, sob pseudônimos."""
    from carteira import credit

    config = _config(settings_here())
    try:
        written = run_with_bar(
            "Exportando a base B",
            lambda report: credit.export_people(
                config,
                folder,
                segments=segments,
                synthetic_people=synthetic,
                progress=lambda done, total, _rows: report(done, total),
            ),
        )
    except (credit.ExportMismatch, credit.MissingLibrary, OSError) as error:
        fail(f"a exportação não pôde ser feita: {error}")
    out.print(f"{written} pessoas em {folder}", highlight=False, soft_wrap=True)


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(metavar="pasta", help="Pasta de uma exportação.")],
    scorecard: Annotated[
        Path | None, typer.Argument(metavar="arquivo", help="Arquivo do modelo treinado, a escrever.")
    ] = None,
    store: Annotated[bool, typer.Option("--store", help="Guarda o modelo como versão, a escolher no console.")] = False,
) -> None:
    """Treina a pontuação e mostra os resultados em pessoas que ela não viu."""
    from carteira import credit

    if scorecard is None and not store:
        fail("diga em que arquivo escrever o modelo, ou use --store para guardá-lo como versão.")
    try:
        trained = with_spinner("Treinando o score", lambda: credit.train_scorecard(folder))
        if scorecard is not None:
            scorecard.write_text(trained.text)
    except (credit.TooFewPeople, credit.MissingLibrary, OSError) as error:
        fail(f"a pontuação não pôde ser treinada: {error}")
    where = f"; modelo em {scorecard}" if scorecard is not None else ""
    out.print(f"{trained.people} pessoas; {trained.card.model_version}{where}", highlight=False, soft_wrap=True)
    out.print(json.dumps(trained.measures, indent=2, ensure_ascii=False, default=str), highlight=False)
    if store:
        url = database_of(settings_here())
        new = run_quietly("Guardando o modelo", lambda: credit.store_model(url, folder, trained))
        out.print("Modelo guardado; escolha-o no console." if new else "Este modelo já estava guardado.")


@app.command("models")
def list_models() -> None:
    """Lista os modelos guardados, do mais novo ao mais antigo, e diz qual está em vigor."""
    from carteira import credit

    url = database_of(settings_here())
    for one in run_quietly("Lendo os modelos", lambda: credit.stored_models(url)):
        figures = one.figures
        measured = (
            f"AUC {figures.auc:.4f}, KS {figures.ks:.4f}, aprova {figures.approval:.1%}" if figures else "veio pronto"
        )
        people = f"{one.people} desfechos, " if one.people is not None else ""
        mark = "em vigor" if one.in_force else "já valeu" if one.choices else "nunca valeu"
        out.print(f"{one.version}  {mark}  {people}{measured}", highlight=False, soft_wrap=True)
