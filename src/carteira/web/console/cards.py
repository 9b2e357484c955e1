"""Transport cards at the counter: searched by POST, blocked when lost; and riders' debts."""

from functools import partial
from typing import Any
from uuid import UUID

from fastapi import Response

from carteira import identity, transit
from carteira.kit.db.session import Tx
from carteira.kit.values.card_number import InvalidCardNumber, parse_card_number
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import (
    Confirmation,
    Detail,
    DetailStep,
    ask,
    ask_again,
    show_detail,
)
from carteira.web.console.cells import Cell, amount, badge, day, instant, mono, words
from carteira.web.console.people import HOME as PEOPLE
from carteira.web.console.tables import OLDEST, PERSON, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import moment, plain_money
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("transit")
HOME, DEBTS = "/console/cartoes", "/console/dividas"
CLAIM = "transit:review"

CardRow = tuple[transit.desk.CardSeen, str]
"""A card, and its holder's name."""
DebtRow = tuple[transit.desk.DebtSeen, str]
"""A ride that is not fully paid, and its rider's name."""


def masked_card(number: str) -> str:
    """Return a masked card number that its holder recognises."""
    return f"final {number[-4:]}"


def _state(row: transit.desk.CardSeen) -> Cell:
    if row.status == "active":
        return badge("Ativo", "ok", "check")
    return badge("Bloqueado", "warn", "lock") if row.status == "blocked" else badge("Cancelado", "", "block")


TABLE: Table[CardRow] = Table(
    HOME,
    "cartões",
    (
        TableColumn("Cartão", lambda row: mono(masked_card(row[0].card_number))),
        TableColumn("De quem", lambda row: words(row[1] or "sem titular"), "full"),
        TableColumn("Saldo", lambda row: amount(row[0].balance), "end nowrap"),
        TableColumn("Emitido", lambda row: day(row[0].created_at.date()), "nowrap", order=OLDEST),
        TableColumn("Situação", lambda row: _state(row[0]), "stack-end"),
    ),
    key=lambda row: row[0].id,
    filters=(Filter("cartao", "Número do cartão, inteiro", grows=True), PERSON),
    opens=lambda row: f"{HOME}/{row[0].id}",
    panel=True,
    empty=("Nenhum cartão bloqueado", "Procure um cartão pelo número, ou abra-o pela página da pessoa."),
)


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[CardRow]:
    number = asked.get("cartao")
    found = await transit.desk.cards(
        tx,
        asked.page_request(BY_ID, limit),
        number=None if number is None else parse_card_number(number),
        user_id=asked.id("pessoa"),
    )
    names = await identity.names(tx, {row.user_id for row in found.items if row.user_id is not None})
    return found.map(lambda row: (row, names.get(row.user_id, "") if row.user_id else ""))


async def _list(page: WebPage, asked: TableAsked) -> Response:
    return await TABLE.answer(page, partial(_read, page), asked=asked, template="console/cards.html")


@router.get(HOME, dependencies=[claims(CLAIM), looks("transport_cards_listed")])
async def show_cards(page: SignedPage) -> Response:
    """List blocked cards, or a person's; a card's number never appears in an address."""
    return await _list(page, TABLE.asked_openly(page, "pessoa"))


@router.post(HOME, dependencies=[claims(CLAIM), looks("transport_cards_listed")])
async def search(page: SignedPage) -> Response:
    """List the cards that match a form."""
    return await _list(page, await _asked(page))


async def _asked(page: WebPage) -> TableAsked:
    """Parse a search by form."""
    asked = await TABLE.asked_by_form(page)
    try:
        parse_card_number(asked.get("cartao") or "9076123412341234")
    except InvalidCardNumber as error:
        asked = TableAsked(asked.values, asked.typed, {"cartao": str(error)}, private=True)
    return asked


offer_csv(router, TABLE, _read, CLAIM, asked_by_form=_asked)


async def _one(page: WebPage, card_id: UUID) -> transit.desk.CardSeen:
    return await page.read(lambda tx: transit.desk.card(tx, card_id))


@router.get(HOME + "/{card_id}", dependencies=[claims(CLAIM), looks("transport_cards_listed")])
async def show_card(card_id: UUID, page: SignedPage) -> Response:
    """Show a card, and the possible acts."""

    async def read(tx: Tx) -> tuple[transit.desk.CardSeen, str]:
        card = await transit.desk.card(tx, card_id)
        names = await identity.names(tx, [card.user_id] if card.user_id else [])
        return card, names.get(card.user_id, "") if card.user_id else ""

    card, name = await page.read(read)
    steps = []
    if card.user_id is not None:
        if page.holds("users:read"):
            steps.append(DetailStep(f"{PEOPLE}/{card.user_id}", "A pessoa"))
        if card.status == "active":
            steps.append(DetailStep(f"{HOME}/{card.id}/bloquear", "Bloquear…", danger=True))
        if card.status == "blocked":
            steps.append(DetailStep(f"{HOME}/{card.id}/desbloquear", "Desbloquear…"))
    facts = (
        ("De quem", name or "sem titular"),
        ("Saldo", plain_money(card.balance)),
        ("Emitido", moment(card.created_at)),
    )
    title = f"Cartão {masked_card(card.card_number)}"
    return show_detail(page, Detail(title, (HOME, "Cartões"), facts, steps, _state(card)))


def _named(card: transit.desk.CardSeen, act: str) -> dict[str, Any]:
    return {
        "path": f"{HOME}/{card.id}/{act}",
        "back": f"{HOME}/{card.id}",
        "facts": (("Cartão", masked_card(card.card_number)), ("Saldo", plain_money(card.balance))),
    }


def _blocking(card: transit.desk.CardSeen) -> Confirmation:
    return Confirmation(
        title="Bloquear este cartão?",
        says=("Para um cartão perdido ou roubado: os validadores o recusam em minutos, e o saldo fica guardado.",),
        way_back="“Desbloquear”, na página do cartão; a pessoa também pode, na carteira.",
        button="Bloquear",
        danger=True,
        **_named(card, "bloquear"),
    )


def _unblocking(card: transit.desk.CardSeen) -> Confirmation:
    return Confirmation(
        title="Desbloquear este cartão?",
        says=("Para um cartão que foi achado: ele volta a valer.",),
        way_back="O cartão pode ser bloqueado de novo.",
        button="Desbloquear",
        **_named(card, "desbloquear"),
    )


@router.get(HOME + "/{card_id}/bloquear", dependencies=[claims(CLAIM), looks("transport_cards_listed")])
async def ask_block(card_id: UUID, page: SignedPage) -> Response:
    """Show what blocking a card does."""
    return ask(page, _blocking(await _one(page, card_id)))


@router.post(HOME + "/{card_id}/bloquear", dependencies=[claims(CLAIM), acts("transport_card_blocked")])
async def block(card_id: UUID, page: SignedPage) -> Response:
    """Block a lost card."""
    form = await page.form(FormBody)
    card = await _one(page, card_id)
    try:
        async with page.database.transaction() as tx:
            await transit.desk.block_lost(tx, page.who, card_id)
    except REFUSALS as error:
        return ask_again(page, _blocking(card), form, error)
    return page.go(f"{HOME}/{card_id}", "Cartão bloqueado.")


@router.get(HOME + "/{card_id}/desbloquear", dependencies=[claims(CLAIM), looks("transport_cards_listed")])
async def ask_unblock(card_id: UUID, page: SignedPage) -> Response:
    """Show what unblocking a card does."""
    return ask(page, _unblocking(await _one(page, card_id)))


@router.post(HOME + "/{card_id}/desbloquear", dependencies=[claims(CLAIM), acts("transport_card_unblocked")])
async def unblock(card_id: UUID, page: SignedPage) -> Response:
    """Unblock a card that was found."""
    form = await page.form(FormBody)
    card = await _one(page, card_id)
    try:
        async with page.database.transaction() as tx:
            await transit.desk.unblock_found(tx, page.who, card_id)
    except REFUSALS as error:
        return ask_again(page, _unblocking(card), form, error)
    return page.go(f"{HOME}/{card_id}", "Cartão desbloqueado.")


DEBT_TABLE: Table[DebtRow] = Table(
    DEBTS,
    "dívidas",
    (
        TableColumn("De quem", lambda row: words(row[1], href=f"{HOME}?pessoa={row[0].user_id}"), "full"),
        TableColumn("Cartão", lambda row: mono(masked_card(row[0].card_number))),
        TableColumn("Viagem", lambda row: instant(row[0].tapped_at), "nowrap"),
        TableColumn("Linha", lambda row: words(row[0].line)),
        TableColumn("Tarifa", lambda row: amount(row[0].amount), "end nowrap"),
        TableColumn("Falta", lambda row: amount(row[0].outstanding), "end nowrap"),
    ),
    key=lambda row: row[0].id,
    filters=(PERSON,),
    empty=(
        "Ninguém deve",
        "Uma viagem que o saldo não cobriu aparece aqui até a próxima recarga, que a paga primeiro.",
    ),
)


async def _read_debts(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[DebtRow]:
    found = await transit.desk.debts(tx, asked.page_request(transit.desk.DEBTS, limit), asked.id("pessoa"))
    names = await identity.names(tx, {row.user_id for row in found.items})
    return found.map(lambda row: (row, names.get(row.user_id, "")))


@router.get(DEBTS, dependencies=[claims(CLAIM), looks("ride_debts_listed")])
async def show_debts(page: SignedPage) -> Response:
    """List the rides that are not fully paid, person by person."""
    return await DEBT_TABLE.answer(page, partial(_read_debts, page), template="console/debts.html")


offer_csv(router, DEBT_TABLE, _read_debts, CLAIM)
