"""Clients (machines): added with a secret that is shown once, their claims, a new secret, revocation."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BeforeValidator, Field

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.values.days import Day
from carteira.kit.web.access import acts, claims, reads, step_up
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import (
    ActField,
    Confirmation,
    VersionForm,
    ask,
    ask_again,
    marked_in,
    show_once,
    version_seen,
)
from carteira.web.console.cells import Cell, badge, count, instant, words
from carteira.web.console.claim_words import claim_choice
from carteira.web.console.tables import NEWEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import begins
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
HOME = "/console/clientes"
READS, WRITES = "clients:read", "clients:write"
_MACHINES = reads("machines, nobody's data")
_OVERLAPS = (("24", "24 horas"), ("168", "7 dias"), ("0", "Nada: o anterior para agora"))


def _state(row: identity.desk.ClientView) -> Cell:
    return badge("Revogado", "bad", "x") if row.revoked_at else badge("Ativo", "ok", "check")


TABLE: Table[identity.desk.ClientView] = Table(
    HOME,
    "clientes",
    (
        TableColumn("Nome", lambda row: words(row.name)),
        TableColumn("Permissões", lambda row: words(", ".join(row.claims)), "full"),
        TableColumn("Segredos e chaves", lambda row: count(len(row.credentials)), "end"),
        TableColumn("Criado", lambda row: instant(row.created_at), "nowrap", order=NEWEST),
        TableColumn("Usado", lambda row: instant(row.last_used_at), "nowrap"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.id,
    filters=(Filter("situacao", "Situação", "choice", (("ativos", "Ativos"), ("revogados", "Revogados"))),),
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Nenhum cliente", "Um ERP ou validador entra por um cliente, com permissões e segredos próprios."),
)


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[identity.desk.ClientView]:
    place = asked.page_request(BY_ID, limit)
    revoked = {"ativos": False, "revogados": True}.get(asked.get("situacao") or "")
    rows = await identity.desk.list_clients(
        tx, limit=limit + 1, before=place.after, turned=place.turned, revoked=revoked
    )
    return place.page(rows, lambda row: row.id)


@router.get(HOME, dependencies=[claims(READS), _MACHINES])
async def show_clients(page: SignedPage) -> Response:
    """List the clients."""
    return await TABLE.answer(page, partial(_read, page), template="console/clients.html")


offer_csv(router, TABLE, _read, READS)


def _lines(text: object) -> object:
    return [line.strip() for line in text.splitlines() if line.strip()] if isinstance(text, str) else text


class ClientForm(FormBody):
    """A new client; its claims, being several, are read separately."""

    name: identity.desk.Description
    networks: Annotated[list[identity.desk.Network], Field(max_length=50), BeforeValidator(_lines)] = Field(
        default_factory=list
    )
    until: Day | None = None


async def _grantable(page: WebPage) -> tuple[tuple[str, str], ...]:
    """Return the claims that the operator may grant a machine: those that they hold."""
    known = await page.read(lambda tx: identity.desk.list_claims(tx, limit=500))
    names = [one.description for one in known if one.active and one.description not in identity.desk.PEOPLE_ONLY]
    return tuple((name, claim_choice(name)) for name in sorted(names) if page.who.may(name))


def _claims_field(choices: tuple[tuple[str, str], ...], chosen: tuple[str, ...]) -> ActField:
    says = "Você só pode dar a uma máquina permissões que você tem."
    return ActField("claims", "Permissões", "several", help=says, choices=choices, chosen=chosen)


async def _adding(page: WebPage, chosen: tuple[str, ...] = ()) -> Confirmation:
    return Confirmation(
        title="Criar um cliente",
        says=("Uma máquina que entra por conta própria. O segredo dela aparece uma única vez, na próxima página.",),
        way_back="Um cliente pode ser revogado na hora.",
        button="Criar o cliente",
        path=f"{HOME}/novo",
        back=HOME,
        fields=(
            ActField("name", "Nome", help="Por exemplo, ERP da matriz."),
            _claims_field(await _grantable(page), chosen),
            ActField(
                "networks",
                "Redes de onde pode vir",
                "long",
                help="Uma por linha, como 203.0.113.0/24. Vazio: qualquer rede.",
                required=False,
            ),
            ActField("until", "Vale até", "day", required=False),
        ),
    )


@router.get(f"{HOME}/novo", dependencies=[claims(READS, WRITES), step_up(), _MACHINES])
async def ask_client(page: SignedPage) -> Response:
    """Show the form of a new client."""
    return ask(page, await _adding(page))


@router.post(f"{HOME}/novo", dependencies=[claims(READS, WRITES), step_up(), acts("client_added")])
async def add(page: SignedPage) -> Response:
    """Add a client; its secret is shown once, even if the form is sent twice."""
    form = await page.form(ClientForm)
    chosen = await marked_in(page, "claims")
    if form.value is not None and form.value.until is not None and form.value.until < clock.today():
        form = replace(form.at("until", "Este dia já passou."), value=None)
    if form.value is None:
        return ask_again(page, await _adding(page, chosen), form)
    asked = form.value
    made: list[tuple[UUID, str]] = []

    async def work(tx: Tx) -> object:
        view, secret = await identity.desk.add_client(
            tx,
            page.who,
            name=asked.name.strip(),
            claims=chosen,
            networks=asked.networks,
            expires_at=None if asked.until is None else begins(asked.until + timedelta(days=1)),
            public_key=None,
        )
        made.append((view.id, secret or ""))
        return {"id": view.id}

    try:
        payload = [asked.model_dump(mode="json"), *chosen]
        outcome = await page.once(work, payload=payload, money=False)
    except REFUSALS as error:
        return ask_again(page, await _adding(page, chosen), form, error)
    if outcome.refused or not made:
        return page.go(HOME, outcome.refused or outcome.said(""))
    client_id, secret = made[0]
    return show_once(page, f"O segredo de {asked.name}", secret, f"{HOME}/{client_id}", says=f"client_id: {client_id}")


@router.get(HOME + "/{client_id}", dependencies=[claims(READS), _MACHINES])
async def show_client(client_id: UUID, page: SignedPage) -> Response:
    """Show a client with its credentials."""
    client = await page.read(lambda tx: identity.desk.client(tx, client_id))
    return page.show("console/client.html", block="panel", home=HOME, client=client, state=_state(client))


def _revoking(client: identity.desk.ClientView) -> Confirmation:
    return Confirmation(
        title=f"Revogar {client.name}?",
        says=("A máquina para de entrar agora, com todos os segredos e chaves dela.",),
        way_back="Um cliente revogado não volta; cria-se outro, com outro segredo.",
        button="Revogar",
        path=f"{HOME}/{client.id}/revogar",
        back=f"{HOME}/{client.id}",
        danger=True,
    )


@router.get(
    HOME + "/{client_id}/revogar",
    dependencies=[claims(READS, WRITES), _MACHINES],
)
async def ask_revocation(client_id: UUID, page: SignedPage) -> Response:
    """Show what revoking a client does."""
    return ask(page, _revoking(await page.read(lambda tx: identity.desk.client(tx, client_id))))


@router.post(HOME + "/{client_id}/revogar", dependencies=[claims(READS, WRITES), acts("client_revoked")])
async def revoke(client_id: UUID, page: SignedPage) -> Response:
    """Revoke a client, at once."""
    form = await page.form(FormBody)
    client = await page.read(lambda tx: identity.desk.client(tx, client_id))
    try:
        async with page.database.transaction() as tx:
            await identity.desk.revoke_client(tx, page.identity.access, page.who, client_id)
    except REFUSALS as error:
        return ask_again(page, _revoking(client), form, error)
    return page.go(HOME, f"{client.name} revogado.")


def _permitting(
    client: identity.desk.ClientView, choices: tuple[tuple[str, str], ...], chosen: tuple[str, ...]
) -> Confirmation:
    kept = tuple((name, f"{claim_choice(name)}, já tem") for name in client.claims if name not in dict(choices))
    return Confirmation(
        title=f"O que {client.name} pode",
        says=("Vale na hora, também para o que a máquina está fazendo.",),
        way_back="As permissões podem ser mudadas de novo aqui.",
        button="Mudar as permissões",
        path=f"{HOME}/{client.id}/permissoes",
        back=f"{HOME}/{client.id}",
        fields=(_claims_field((*choices, *kept), chosen),),
        seen=version_seen(client.version),
    )


async def _one(page: WebPage, client_id: UUID) -> identity.desk.ClientView:
    return await page.read(lambda tx: identity.desk.client(tx, client_id))


@router.get(HOME + "/{client_id}/permissoes", dependencies=[claims(READS, WRITES), _MACHINES])
async def ask_claims(client_id: UUID, page: SignedPage) -> Response:
    """Show the form of a client's claims."""
    client = await _one(page, client_id)
    return ask(page, _permitting(client, await _grantable(page), tuple(client.claims)))


@router.post(HOME + "/{client_id}/permissoes", dependencies=[claims(READS, WRITES), acts("client_claims_set")])
async def set_claims(client_id: UUID, page: SignedPage) -> Response:
    """Replace a client's claims."""
    form = await page.form(VersionForm)
    chosen = await marked_in(page, "claims")
    client = await _one(page, client_id)
    if form.value is None:
        return ask_again(page, _permitting(client, await _grantable(page), chosen), form)
    known = form.value.known
    try:
        async with page.database.transaction() as tx:
            await identity.desk.set_claims(tx, page.identity.access, page.who, client_id, chosen, known)
    except REFUSALS as error:
        return ask_again(page, _permitting(client, await _grantable(page), chosen), form, error)
    return page.go(f"{HOME}/{client_id}", "As permissões mudaram, na hora.")


class ClientSecretForm(FormBody):
    """For how many hours the former secret stays valid."""

    overlap: Literal["0", "24", "168"]


def _rotating(client: identity.desk.ClientView) -> Confirmation:
    return Confirmation(
        title=f"Trocar o segredo de {client.name}?",
        says=("O novo aparece uma única vez, na próxima página.",),
        way_back="O anterior continua valendo pelo tempo que você escolher.",
        button="Trocar o segredo",
        path=f"{HOME}/{client.id}/segredo",
        back=f"{HOME}/{client.id}",
        fields=(ActField("overlap", "Por quanto tempo o anterior ainda vale", "choice", choices=_OVERLAPS),),
    )


@router.get(HOME + "/{client_id}/segredo", dependencies=[claims(READS, WRITES), step_up(), _MACHINES])
async def ask_rotation(client_id: UUID, page: SignedPage) -> Response:
    """Show what a new secret does."""
    return ask(page, _rotating(await _one(page, client_id)))


@router.post(
    HOME + "/{client_id}/segredo", dependencies=[claims(READS, WRITES), step_up(), acts("client_credential_added")]
)
async def rotate(client_id: UUID, page: SignedPage) -> Response:
    """Issue a new secret for a client, shown once."""
    form = await page.form(ClientSecretForm)
    client = await _one(page, client_id)
    if form.value is None:
        return ask_again(page, _rotating(client), form)
    overlap = timedelta(hours=int(form.value.overlap))
    made: list[str] = []

    async def work(tx: Tx) -> object:
        new = await identity.desk.add_credential(
            tx, page.identity.access, page.who, client_id, public_key=None, expires_at=None, overlap=overlap
        )
        made.append(new.secret or "")
        return {}

    try:
        outcome = await page.once(work, payload=form.value.overlap, money=False)
    except REFUSALS as error:
        return ask_again(page, _rotating(client), form, error)
    if outcome.refused or not made:
        return page.go(f"{HOME}/{client_id}", outcome.refused or outcome.said(""))
    return show_once(
        page, f"O novo segredo de {client.name}", made[0], f"{HOME}/{client_id}", says=f"client_id: {client_id}"
    )
