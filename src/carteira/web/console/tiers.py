"""The rules of cashback with their validity: tiers, closing days, and automatic approvals."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Response
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from carteira import resellers
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import Cpf, mask_cpf
from carteira.kit.values.money import InvalidAmount, read_reais
from carteira.kit.web.access import acts, claims, looks, reads
from carteira.kit.web.preconditions import Precondition, RecordChanged
from carteira.kit.web.validation import describe
from carteira.web.console.acts import (
    SEEN,
    ActField,
    Confirmation,
    Detail,
    DetailStep,
    VersionForm,
    ask,
    ask_again,
    show_detail,
    version_seen,
)
from carteira.web.console.cells import Cell, badge, mono, words
from carteira.web.console.pendings import desk_of
from carteira.web.console.purchases import DECIDES, READS
from carteira.web.console.tables import Listed, Table, TableAsked, TableColumn, offer_csv, state_filter
from carteira.web.formats import capital, month_name, number, plain_money
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("resellers")
HOME, APPROVED = "/console/faixas", "/console/aprovacoes-automaticas"
_RULES = reads("rules are nobody's")
_TAKEN = "Já há faixas que começam neste mês. Abra-as na lista para mudá-las."
Month = Annotated[resellers.desk.BusinessMonth, Path()]


def _tiers_said(row: resellers.desk.TiersOut) -> str:
    steps = [f"{tier.percentage}% acima de {plain_money(tier.above)}" for tier in row.tiers if tier.above]
    first = next((tier for tier in row.tiers if not tier.above), None)
    return " · ".join(([f"{first.percentage}%"] if first else []) + steps)


def _holds(row: resellers.desk.TiersOut, now: resellers.desk.TiersOut | None) -> Cell:
    if now is not None and row.valid_from == now.valid_from:
        return badge("Vale agora", "ok", "check")
    return badge("Vai valer", "info", "clock") if row.valid_from > clock.today() else badge("Já valeu")


TierRow = tuple[resellers.desk.TiersOut, Cell]

TABLE: Table[TierRow] = Table(
    HOME,
    "faixas",
    (
        TableColumn("A partir de", lambda row: words(capital(month_name(row[0].valid_from)))),
        TableColumn("Percentual do mês inteiro", lambda row: words(_tiers_said(row[0])), "full"),
        TableColumn("Situação", lambda row: row[1], "stack-end"),
    ),
    key=lambda row: row[0].valid_from,
    opens=lambda row: f"{HOME}/{row[0].valid_from:%Y-%m}",
    whole=True,
    filters=(state_filter("Vale agora", "Vai valer", "Já valeu"),),
    panel=True,
)


async def _read(_page: WebPage, tx: Tx, _asked: TableAsked, _limit: int) -> Listed[TierRow]:
    rows = await resellers.desk.list_tiers(tx)
    now = next((row for row in rows if row.valid_from <= clock.today()), None)
    return Listed([(row, _holds(row, now)) for row in rows])


@router.get(HOME, dependencies=[claims(READS), _RULES])
async def show_tiers(page: SignedPage) -> Response:
    """List the tier tables and the closing days, each with its first month."""
    days = await page.read(resellers.desk.closing_days)
    return await TABLE.answer(page, partial(_read, page), template="console/tiers.html", days=days)


offer_csv(router, TABLE, _read, READS)


def _steps(text: object) -> object:
    """Parse tiers, one per line: the amount above which they apply, and the percentage."""
    if not isinstance(text, str):
        return text
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        above, _, percentage = line.partition(";")
        digits = percentage.strip().removesuffix("%").strip()
        try:
            centavos = read_reais(above.strip(), least=0)
        except InvalidAmount as error:
            raise PydanticCustomError(
                "invalid_tier", "{line}: {reason}", {"line": line, "reason": str(error)}
            ) from error
        if not (digits.isascii() and digits.isdigit()):
            fault = "escreva o percentual inteiro depois do ponto e vírgula"
            raise PydanticCustomError("invalid_tier", "{line}: {reason}", {"line": line, "reason": fault})
        found.append({"above": centavos, "percentage": int(digits)})
    return found


class TiersForm(VersionForm):
    """Tiers, and their first month; `seen` is the month of the shown table, and its version."""

    valid_from: resellers.desk.BusinessMonth
    tiers: Annotated[list[Any], BeforeValidator(_steps), Field(min_length=1, max_length=50)]

    @property
    def known(self) -> Precondition:
        """The version of the shown table; of another month's table none was shown."""
        month, _, version = self.seen.rpartition(".")
        if month and month != f"{self.valid_from:%Y-%m}":
            return Precondition(absent=True)
        return Precondition.of_form(version)


def _putting(row: resellers.desk.TiersOut | None) -> Confirmation:
    written = "\n".join(f"{number(one.above)};{one.percentage}" for one in row.tiers) if row else ""
    return Confirmation(
        title="Definir faixas de cashback",
        says=(
            "Valem a partir do mês escolhido, que ainda está aberto; meses anteriores não mudam.",
            "O percentual da faixa em que o total do mês cai vale para o mês inteiro.",
        ),
        way_back="Uma tabela pode ser trocada ou tirada enquanto nenhum mês dela foi fechado.",
        button="Definir as faixas",
        path=f"{HOME}/nova",
        back=HOME,
        fields=(
            ActField(
                "valid_from", "A partir do mês", help="Como 2026-12.", value=f"{row.valid_from:%Y-%m}" if row else ""
            ),
            ActField(
                "tiers",
                "Faixas",
                "long",
                help="Uma por linha: acima de quanto, em reais, e o percentual: 0,00;10. A primeira começa em zero.",
                value=written,
            ),
        ),
        seen=version_seen(f"{row.valid_from:%Y-%m}.{row.version}" if row else None),
    )


@router.get(f"{HOME}/nova", dependencies=[claims(READS, DECIDES), _RULES])
async def ask_tiers(page: SignedPage) -> Response:
    """Show the form of a new tier table, filled with the present one."""
    rows = await page.read(resellers.desk.list_tiers)
    return ask(page, _putting(rows[0] if rows else None))


@router.get(HOME + "/{month}/mudar", dependencies=[claims(READS, DECIDES), _RULES])
async def ask_change(month: Month, page: SignedPage) -> Response:
    """Show the form of a tier table."""
    rows = await page.read(resellers.desk.list_tiers)
    return ask(page, _putting(next((row for row in rows if row.valid_from == month), None)))


async def _shown(page: WebPage, form: Reading[Any]) -> resellers.desk.TiersOut | None:
    """Return the table that a form was filled with, as it is now; None: it is gone."""
    month = form.text(SEEN).rpartition(".")[0]
    rows = await page.read(resellers.desk.list_tiers)
    return next((row for row in rows if f"{row.valid_from:%Y-%m}" == month), None)


@router.post(f"{HOME}/nova", dependencies=[claims(READS, DECIDES), acts("cashback_tiers_set")])
async def put_tiers(page: SignedPage) -> Response:
    """Set a tier table; above the limit it waits for a second person."""
    form: Reading[Any] = await page.form(TiersForm)
    act = _putting(await _shown(page, form))
    if form.value is None:
        return ask_again(page, act, form)
    asked = form.value
    try:
        tiers = resellers.desk.TiersIn.model_validate({"tiers": asked.tiers}).tiers
    except ValidationError as error:
        return ask_again(page, act, form.at("tiers", describe(error.errors()[0])["message"]))

    async def work(tx: Tx) -> object:
        put = resellers.desk.put_tiers(tx, desk_of(page), page.who, asked.valid_from, tiers, asked.known)
        return {"now": await put}

    try:
        outcome = await page.once(work, payload=asked.model_dump(mode="json"))
    except REFUSALS as error:
        is_taken = isinstance(error, RecordChanged) and asked.known.absent
        saying = (
            form.at("valid_from", "Já há faixas que começam neste mês. Abra-as na lista para mudá-las.")
            if is_taken
            else form
        )
        return ask_again(page, act, saying, None if is_taken else error)
    if outcome.refused:
        return ask_again(page, act, form.saying(outcome.refused))
    return _gone(page, now=bool(outcome.body.get("now")), said=outcome.said("Faixas definidas."))


def _gone(page: WebPage, *, now: bool, said: str, home: str = HOME) -> Response:
    return page.go(home, said) if now else page.go("/console/pendencias", "Enviado: outra pessoa aprova aqui.")


def _removing(row: resellers.desk.TiersOut) -> Confirmation:
    return Confirmation(
        title=f"Tirar as faixas de {month_name(row.valid_from)}?",
        says=("A tabela anterior continua valendo.",),
        way_back="As faixas podem ser definidas de novo.",
        button="Tirar as faixas",
        path=f"{HOME}/{row.valid_from:%Y-%m}/tirar",
        back=HOME,
        danger=True,
        facts=(("Faixas", _tiers_said(row)),),
        seen=version_seen(row.version),
    )


async def _table_of(page: WebPage, month: Any) -> resellers.desk.TiersOut:  # noqa: ANN401 - a day of the path
    rows = await page.read(resellers.desk.list_tiers)
    found = next((row for row in rows if row.valid_from == month), None)
    if found is None:
        raise resellers.desk.TiersNotFound
    return found


@router.get(HOME + "/{month}/tirar", dependencies=[claims(READS, DECIDES), _RULES])
async def ask_removal(month: Month, page: SignedPage) -> Response:
    """Show what deleting a tier table does."""
    return ask(page, _removing(await _table_of(page, month)))


@router.post(HOME + "/{month}/tirar", dependencies=[claims(READS, DECIDES), acts("cashback_tiers_removed")])
async def remove(month: Month, page: SignedPage) -> Response:
    """Delete a tier table; above the limit it waits for a second person."""
    form = await page.form(VersionForm)
    row = await _table_of(page, month)
    if form.value is None:
        return ask_again(page, _removing(row), form)
    try:
        async with page.database.transaction() as tx:
            now = await resellers.desk.delete_tiers(tx, desk_of(page), page.who, month, form.value.known)
    except REFUSALS as error:
        return ask_again(page, _removing(row), form, error)
    return _gone(page, now=now, said="Faixas tiradas.")


_DAYS_SHOWN = 6


class ClosingDayForm(VersionForm):
    """A closing day, and its first month; `seen` is the version of all of them."""

    valid_from: resellers.desk.BusinessMonth
    day: Annotated[int, Field(ge=1, le=28)]


async def _closing_day(page: WebPage) -> Confirmation:
    days = await page.read(resellers.desk.closing_days)
    return Confirmation(
        title="Definir o dia de fechamento",
        says=("O mês que terminou é fechado nesse dia do mês seguinte, se nada estiver em validação.",),
        way_back="O dia pode ser mudado enquanto nenhum mês dele foi fechado.",
        button="Definir o dia",
        path=f"{HOME}/dia",
        back=HOME,
        fields=(
            ActField("valid_from", "A partir do mês", help="Como 2026-12."),
            ActField("day", "Dia do mês seguinte", help="De 1 a 28."),
        ),
        facts=[(f"A partir de {month_name(one.valid_from)}", f"dia {one.day}") for one in days[:_DAYS_SHOWN]],
        seen=version_seen(resellers.desk.version_of_days(days)),
    )


@router.get(f"{HOME}/dia", dependencies=[claims(READS, DECIDES), _RULES])
async def ask_closing_day(page: SignedPage) -> Response:
    """Ask for a closing day."""
    return ask(page, await _closing_day(page))


@router.post(f"{HOME}/dia", dependencies=[claims(READS, DECIDES), acts("cashback_closing_day_set")])
async def put_closing_day(page: SignedPage) -> Response:
    """Set a closing day."""
    form = await page.form(ClosingDayForm)
    act = await _closing_day(page)
    if form.value is None:
        return ask_again(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await resellers.desk.put_closing_day(tx, form.value.valid_from, form.value.day, of_all=form.value.known)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(HOME, "Dia de fechamento definido.")


@router.get(HOME + "/{month}", dependencies=[claims(READS), _RULES])
async def show_table(month: Month, page: SignedPage) -> Response:
    """Show a tier table, and the possible acts."""
    row = await _table_of(page, month)
    here = f"{HOME}/{row.valid_from:%Y-%m}"
    steps = [DetailStep(f"{here}/mudar", "Mudar…"), DetailStep(f"{here}/tirar", "Tirar…", danger=True)]
    facts = [(f"Acima de {plain_money(tier.above)}", f"{tier.percentage}%") for tier in row.tiers]
    title = f"Faixas a partir de {month_name(row.valid_from)}"
    return show_detail(page, Detail(title, (HOME, "Faixas"), facts, steps if page.holds(DECIDES) else ()))


def _applies(row: resellers.desk.AutoApprovalOut) -> Cell:
    month = clock.today().replace(day=1)
    if row.valid_from > month:
        return badge("Vai valer", "info", "clock")
    return badge("Já valeu") if row.valid_until and row.valid_until < month else badge("Vale agora", "ok", "check")


APPROVED_TABLE: Table[resellers.desk.AutoApprovalOut] = Table(
    APPROVED,
    "aprovações automáticas",
    (
        TableColumn("CPF", lambda row: mono(mask_cpf(row.cpf))),
        TableColumn("A partir de", lambda row: words(capital(month_name(row.valid_from)))),
        TableColumn("Até", lambda row: words(capital(month_name(row.valid_until)) if row.valid_until else "sem fim")),
        TableColumn("Situação", _applies, "stack-end"),
    ),
    key=lambda row: row.id,
    filters=(state_filter("Vale agora", "Vai valer", "Já valeu"),),
    opens=lambda row: f"{APPROVED}/{row.id}/tirar",
    whole=True,
    empty=("Nenhum CPF", "As compras de quem está nesta lista já começam aprovadas."),
)


async def _read_approved(_page: WebPage, tx: Tx, _asked: TableAsked, _limit: int) -> Listed[Any]:
    return Listed(await resellers.desk.list_auto_approvals(tx))


@router.get(APPROVED, dependencies=[claims(DECIDES), looks("auto_approvals_listed")])
async def show_approved(page: SignedPage) -> Response:
    """List the CPFs whose purchases start approved."""
    return await APPROVED_TABLE.answer(page, partial(_read_approved, page), template="console/auto_approvals.html")


offer_csv(router, APPROVED_TABLE, _read_approved, DECIDES)


class AutoApprovalForm(FormBody):
    """An automatic approval: a CPF and its months."""

    cpf: Cpf
    valid_from: resellers.desk.BusinessMonth
    valid_until: resellers.desk.BusinessMonth | None = None


def _approving() -> Confirmation:
    return Confirmation(
        title="Aprovar as compras de um CPF sem conferência",
        says=(
            "As compras dele já começam aprovadas, e valem cashback, a partir do mês escolhido.",
            "Onde há limite para aprovações, outra pessoa confirma. Ninguém faz isso com o próprio CPF.",
        ),
        way_back="Um CPF pode ser tirado da lista; o que já foi aprovado continua aprovado.",
        button="Pôr na lista",
        path=f"{APPROVED}/nova",
        back=APPROVED,
        danger=True,
        fields=(
            ActField("cpf", "CPF inteiro"),
            ActField("valid_from", "A partir do mês", help="Como 2026-12."),
            ActField("valid_until", "Até o mês", required=False),
        ),
    )


@router.get(f"{APPROVED}/nova", dependencies=[claims(DECIDES), _RULES])
async def ask_auto_approval(page: SignedPage) -> Response:
    """Show the form of an automatic approval."""
    return ask(page, _approving())


@router.post(f"{APPROVED}/nova", dependencies=[claims(DECIDES), acts("auto_approval_set")])
async def auto_approve(page: SignedPage) -> Response:
    """Add an automatic approval; under a limit it waits for a second person."""
    form: Reading[Any] = await page.form(AutoApprovalForm)
    if form.value is None:
        return ask_again(page, _approving(), form)
    try:
        asked = resellers.desk.AutoApprovalIn(**form.value.model_dump())
    except ValidationError as error:
        return ask_again(page, _approving(), form.at("valid_until", describe(error.errors()[0])["message"]))

    async def work(tx: Tx) -> object:
        return {"now": await resellers.desk.auto_approve(tx, desk_of(page), page.who, asked)}

    try:
        outcome = await page.once(work, payload=asked.model_dump(mode="json"))
    except REFUSALS as error:
        return ask_again(page, _approving(), form, error)
    if outcome.refused:
        return ask_again(page, _approving(), form.saying(outcome.refused))
    return _gone(page, now=bool(outcome.body.get("now")), said=outcome.said("Na lista."), home=APPROVED)


def _taking_off(approval_id: UUID) -> Confirmation:
    return Confirmation(
        title="Tirar este CPF da lista?",
        says=("As próximas compras dele esperam uma decisão. O que já foi aprovado continua aprovado.",),
        way_back="O CPF pode voltar à lista.",
        button="Tirar da lista",
        path=f"{APPROVED}/{approval_id}/tirar",
        back=APPROVED,
        danger=True,
    )


@router.get(APPROVED + "/{approval_id}/tirar", dependencies=[claims(DECIDES), _RULES])
async def ask_taking_off(approval_id: UUID, page: SignedPage) -> Response:
    """Show what removing an automatic approval does."""
    return ask(page, _taking_off(approval_id))


@router.post(APPROVED + "/{approval_id}/tirar", dependencies=[claims(DECIDES), acts("auto_approval_removed")])
async def take_off(approval_id: UUID, page: SignedPage) -> Response:
    """Remove an automatic approval."""
    form = await page.form(FormBody)
    try:
        async with page.database.transaction() as tx:
            await resellers.desk.delete_auto_approval(tx, approval_id)
    except REFUSALS as error:
        return ask_again(page, _taking_off(approval_id), form, error)
    return page.go(APPROVED, "Fora da lista.")
