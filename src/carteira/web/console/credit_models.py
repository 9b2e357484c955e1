"""The models of the score as versions: their figures side by side, and the one in force."""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Path, Response

from carteira import credit, identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, reads, step_up
from carteira.kit.web.idempotency import Answered
from carteira.web.console.acts import ActField, Confirmation, Detail, DetailStep, ask, ask_again, show_detail
from carteira.web.console.cells import Cell, badge, count, instant, words
from carteira.web.console.pendings import HOME as PENDINGS
from carteira.web.console.pendings import desk_of
from carteira.web.console.tables import Listed, Table, TableAsked, TableColumn, offer_csv, state_filter
from carteira.web.formats import moment
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("credit")
HOME = "/console/modelos"
READS, CHOOSES = "credit:models:read", "credit:models:write"
_NOBODY = reads("models are nobody's")
ORIGINS = {
    "outcomes": "Desfechos reais",
    "synthetic": "Pessoas fictícias",
    "shipped": "Veio com o produto (pessoas fictícias)",
}
"""The origins of models."""

Version = Annotated[str, Path(max_length=64)]
Model = credit.CreditModelOut


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%".replace(".", ",")


def _ratio(number: float) -> str:
    return f"{number:.4f}".replace(".", ",")


def _day(day: date) -> str:
    return f"{day:%d/%m/%Y}"


def _state(row: Model) -> Cell:
    if row.in_force:
        return badge("Em vigor", "ok", "check")
    return badge("Já valeu") if row.choices else badge("Nunca valeu", "info")


TABLE: Table[Model] = Table(
    HOME,
    "modelos",
    (
        TableColumn("Modelo", lambda row: words(row.version), "full"),
        TableColumn("De onde", lambda row: words(ORIGINS[row.origin])),
        TableColumn("Desfechos", lambda row: words("") if row.people is None else count(row.people), "end"),
        TableColumn("AUC", lambda row: words(_ratio(row.figures.auc) if row.figures else ""), "end"),
        TableColumn("KS", lambda row: words(_ratio(row.figures.ks) if row.figures else ""), "end"),
        TableColumn("Faixas A a C", lambda row: words(_percent(row.figures.approval) if row.figures else ""), "end"),
        TableColumn("Guardado", lambda row: instant(row.created_at), "nowrap"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.version,
    opens=lambda row: f"{HOME}/{row.version}",
    panel=True,
    whole=True,
    filters=(state_filter("Em vigor", "Já valeu", "Nunca valeu"),),
)


async def _read(_page: WebPage, tx: Tx, _asked: TableAsked, _limit: int) -> Listed[Model]:
    return Listed(await credit.desk.list_models(tx))


@router.get(HOME, dependencies=[claims(READS), _NOBODY])
async def show_models(page: SignedPage) -> Response:
    """List the models, with the one in force."""
    return await TABLE.answer(page, partial(_read, page), template="console/credit_models.html")


offer_csv(router, TABLE, _read, READS)


async def _pair(page: WebPage, version: str) -> tuple[Model, Model]:
    """Return a model, and the one in force.

    Raises:
        ModelNotFound: there is none of this version.
    """

    async def read(tx: Tx) -> tuple[Model, Model]:
        one = await credit.desk.model(tx, version)
        return one, next(row for row in await credit.desk.list_models(tx) if row.in_force)

    return await page.read(read)


def _figures(one: Model, other: Model | None) -> list[tuple[str, str]]:
    """Return a model's figures beside those of the one in force."""
    if one.figures is None:
        return [("Medidas", "estão na documentação da versão do produto com que veio")]
    against = other.figures if other is not None else None

    def figure(name: str, write: Callable[[float], str] = _percent) -> str:
        now = write(getattr(one.figures, name))
        return now if against is None else f"{now} (em vigor: {write(getattr(against, name))})"

    return [
        ("AUC", figure("auc", _ratio)),
        ("KS", figure("ks", _ratio)),
        ("Estabilidade (PSI)", figure("psi", _ratio)),
        ("Nas faixas A a C", figure("approval")),
        ("Inadimplência nelas", figure("approved_default_rate")),
        ("Inadimplência de todos", figure("default_rate")),
    ]


def _origin(one: Model) -> list[tuple[str, str]]:
    window = ""
    if one.outcomes_from is not None and one.outcomes_until is not None:
        window = f"registrados de {_day(one.outcomes_from)} a {_day(one.outcomes_until)}"
    return [
        ("De onde", ORIGINS[one.origin]),
        ("Desfechos", " ".join(filter(None, (str(one.people or ""), window)))),
        ("SHA-256", one.digest),
        ("Guardado", moment(one.created_at) if one.created_at else ""),
    ]


@router.get(HOME + "/{version}", dependencies=[claims(READS), _NOBODY])
async def show_model(version: Version, page: SignedPage) -> Response:
    """Show a model: its training outcomes, its figures, and when it was in force."""
    one, in_force = await _pair(page, version)
    by = {UUID(row.by) for row in one.choices if row.by_kind != "command"}
    people = by | {row.approved_by for row in one.choices if row.approved_by is not None}
    names = {str(who): name for who, name in (await page.read(lambda tx: identity.names(tx, people))).items()}
    past = [(f"Em vigor desde {moment(choice.at)}", _told(choice, names)) for choice in one.choices]
    facts = [*_origin(one), *_figures(one, None if one.in_force else in_force), *past]
    steps = () if one.in_force or not page.holds(CHOOSES) else (DetailStep(f"{HOME}/{version}/escolher", _label(one)),)
    return show_detail(page, Detail(one.version, (HOME, "Modelos"), facts, steps, _state(one)))


def _told(choice: credit.desk.ModelChoiceOut, names: dict[str, str]) -> str:
    who = "instalação" if choice.by_kind == "command" else names.get(choice.by, choice.by)
    second = f", aprovado por {names.get(str(choice.approved_by), choice.approved_by)}" if choice.approved_by else ""
    return f"{choice.reason} ({who}{second})"


def _label(one: Model) -> str:
    return "Voltar a este modelo…" if one.former else "Pôr em vigor…"


def _choosing(one: Model, in_force: Model) -> Confirmation:
    back = one.former
    waits = "É o que valia antes: passa a valer na hora." if back else "Outra pessoa aprova antes."
    return Confirmation(
        title=f"{'Voltar ao' if back else 'Pôr em vigor o'} modelo {one.version}?",
        says=(
            "As próximas pontuações são dele; as que já foram dadas ficam como estão, com o modelo que as deu.",
            waits,
        ),
        way_back=f"O modelo de agora, {in_force.version}, continua guardado. Até outra troca, voltar a ele é na hora.",
        button="Voltar a este modelo" if back else "Pôr em vigor",
        path=f"{HOME}/{one.version}/escolher",
        back=f"{HOME}/{one.version}",
        danger=True,
        facts=_figures(one, in_force),
        fields=(ActField("reason", "Motivo", "long"),),
        seen=(("instead_of", in_force.version),),
    )


class ModelChoiceForm(FormBody):
    """The reason for choosing a model, and the model in force when its figures were read."""

    reason: credit.desk.ChoiceReason
    instead_of: credit.desk.ModelVersion


@router.get(HOME + "/{version}/escolher", dependencies=[claims(READS, CHOOSES), _NOBODY])
async def ask_choice(version: Version, page: SignedPage) -> Response:
    """Show what choosing a model does, with its figures beside those of the one in force."""
    return ask(page, _choosing(*await _pair(page, version)))


@router.post(
    HOME + "/{version}/escolher",
    dependencies=[claims(READS, CHOOSES), step_up(), acts("credit_model_chosen")],
)
async def choose(version: Version, page: SignedPage) -> Response:
    """Put a model in force: at once if the one in force took its place, else after a second person's approval."""
    form = await page.form(ModelChoiceForm)
    one, in_force = await _pair(page, version)
    if form.value is None:
        return ask_again(page, _choosing(one, in_force), form)
    asked = credit.desk.ModelChoiceIn(reason=form.value.reason, instead_of=form.value.instead_of)

    async def work(tx: Tx) -> object:
        done = await credit.desk.choose_model(tx, desk_of(page), page.who, version, asked)
        return {"now": not isinstance(done, Answered)}

    try:
        outcome = await page.once(work, payload=asked.model_dump(mode="json"), money=False)
    except REFUSALS as error:
        return ask_again(page, _choosing(one, in_force), form, error)
    if outcome.refused:
        return ask_again(page, _choosing(one, in_force), form.saying(outcome.refused))
    if outcome.body.get("now"):
        return page.go(HOME, outcome.said(f"O modelo {version} está em vigor."))
    return page.go(PENDINGS, "Enviado: outra pessoa aprova aqui.")
