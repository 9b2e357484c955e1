"""Webhooks: endpoints, their events, deliveries, and replays."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal
from uuid import UUID

from fastapi import Request, Response

from carteira import identity, webhooks
from carteira.kit.db.session import Tx
from carteira.kit.values.days import Day, Instant
from carteira.kit.values.texts import counted
from carteira.kit.web.access import acts, claims, reads, step_up
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import (
    TEMPLATE,
    ActField,
    Confirmation,
    Detail,
    DetailStep,
    VersionForm,
    ask,
    ask_again,
    marked_in,
    show_detail,
    show_once,
    version_seen,
)
from carteira.web.console.cells import Cell, badge, count, instant, mono, words
from carteira.web.console.screens import EXPORT
from carteira.web.console.tables import EXPORTED, NEWEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import begins, moment
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("webhooks")
HOME = "/console/webhooks"
READS, WRITES = "webhooks:read", "webhooks:write"
_MACHINES = reads("endpoints are machines', and deliveries are shown without what they tell")
_DISABLED_BY = {"request": "por um pedido", "gone": "o endereço respondeu 410", "overrun": "não dava conta"}
_DELIVERY_STATES = (("waiting", "Esperam"), ("delivered", "Entregues"), ("dead", "Perdidas"))
_OVERLAPS = (("24", "24 horas"), ("168", "7 dias"), ("0", "Nada: o anterior para agora"))

Endpoint = tuple[webhooks.desk.WebhookOut, str]
"""An endpoint, and its client's name."""


def _keeping(request: Request) -> webhooks.desk.Keeping:
    return webhooks.desk.KEEPING.of(request.app)


def _state(row: webhooks.desk.WebhookOut) -> Cell:
    if row.state == "disabled":
        return badge("Desligado", "", "block")
    return badge("Não responde", "bad", "alert") if row.paused_until else badge("Ligado", "ok", "check")


TABLE: Table[Endpoint] = Table(
    HOME,
    "webhooks",
    (
        TableColumn("Endereço", lambda row: words(row[0].url, row[0].description), "full"),
        TableColumn("Cliente", lambda row: words(row[1])),
        TableColumn("Eventos", lambda row: count(len(row[0].events)), "end"),
        TableColumn("Criado", lambda row: instant(row[0].created_at), "nowrap", order=NEWEST),
        TableColumn("Situação", lambda row: _state(row[0]), "stack-end"),
    ),
    key=lambda row: row[0].id,
    filters=(Filter("situacao", "Situação", "choice", (("enabled", "Ligados"), ("disabled", "Desligados"))),),
    opens=lambda row: f"{HOME}/{row[0].id}",
    panel=True,
    empty=("Nenhum webhook", "Um endereço de um cliente, que é avisado do que acontece, aparece aqui."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[Endpoint]:
    place, state = asked.page_request(BY_ID, limit), asked.get("situacao")
    found = await webhooks.desk.listed(tx, _keeping(page.request), page.who, None, place, state)
    names = await identity.desk.client_names(tx, {row.client_id for row in found.items})
    return found.map(lambda row: (row, names.get(row.client_id, "")))


@router.get(HOME, dependencies=[claims(READS), _MACHINES])
async def show_webhooks(page: SignedPage) -> Response:
    """List the endpoints, the newest first."""
    return await TABLE.answer(page, partial(_read, page), template="console/webhooks.html")


offer_csv(router, TABLE, _read, READS)


class WebhookForm(FormBody):
    """A new endpoint; its events, being several, are read separately."""

    client: UUID
    url: webhooks.desk.Url
    description: webhooks.desk.About = ""


async def _adding(page: WebPage, events: tuple[str, ...] = ()) -> Confirmation:
    clients = await page.read(identity.desk.client_names)
    return Confirmation(
        title="Criar um webhook",
        says=(
            "O cliente recebe só o que as permissões e as empresas dele deixam ver; quem cria tem as mesmas.",
            "O segredo que assina os avisos aparece uma única vez, na próxima página.",
        ),
        way_back="Um webhook pode ser mudado e desligado quando quiser.",
        button="Criar o webhook",
        path=f"{HOME}/novo",
        back=HOME,
        fields=(
            ActField("client", "Cliente", "choice", choices=tuple((str(key), name) for key, name in clients.items())),
            ActField("url", "Endereço", help="https, sem usuário nem senha, e público."),
            ActField("description", "Para que serve", required=False),
            _events(events),
        ),
    )


def _events(chosen: tuple[str, ...]) -> ActField:
    choices = tuple((name, name) for name in webhooks.desk.CATALOG)
    return ActField("events", "Eventos", "several", choices=choices, chosen=chosen)


def _fault(events: tuple[str, ...]) -> str:
    if not events:
        return "Marque ao menos um evento."
    return "" if set(events) <= webhooks.desk.CATALOG.keys() else "Um destes eventos não existe."


@router.get(f"{HOME}/novo", dependencies=[claims(READS, WRITES), step_up(), _MACHINES])
async def ask_webhook(page: SignedPage) -> Response:
    """Show the form of a new endpoint."""
    return ask(page, await _adding(page))


@router.post(f"{HOME}/novo", dependencies=[claims(READS, WRITES), step_up(), acts("webhook_added")])
async def add(page: SignedPage) -> Response:
    """Add an endpoint; its secret is shown once, even if the form is sent twice."""
    form = await page.form(WebhookForm)
    events = await marked_in(page, "events")
    fault = _fault(events)
    if form.value is None or fault:
        return ask_again(page, await _adding(page, events), form.at("events", fault) if fault else form)
    asked = form.value
    body = webhooks.desk.WebhookIn(
        client_id=asked.client, url=asked.url, description=asked.description, events=list(events)
    )
    made: list[webhooks.desk.NewWebhookOut] = []

    async def work(tx: Tx) -> object:
        made.append(await webhooks.desk.add(tx, _keeping(page.request), page.who, body))
        return {"id": made[0].id}

    try:
        outcome = await page.once(work, payload=body.model_dump(mode="json"), money=False)
    except REFUSALS as error:
        return ask_again(page, await _adding(page, events), form, error)
    if outcome.refused or not made:
        return page.go(HOME, outcome.refused or outcome.said(""))
    says = "Com ele o endereço confere que um aviso é nosso (Standard Webhooks)."
    return show_once(page, "O segredo do webhook", made[0].secret, f"{HOME}/{made[0].id}", says=says)


async def _one(page: WebPage, webhook_id: UUID) -> webhooks.desk.WebhookOut:
    return await page.read(lambda tx: webhooks.desk.find(tx, _keeping(page.request), page.who, webhook_id))


@router.get(HOME + "/{webhook_id}", dependencies=[claims(READS), _MACHINES])
async def show_webhook(webhook_id: UUID, page: SignedPage) -> Response:
    """Show an endpoint, its events and its state."""

    async def read(tx: Tx) -> Endpoint:
        row = await webhooks.desk.find(tx, _keeping(page.request), page.who, webhook_id)
        names = await identity.desk.client_names(tx, {row.client_id})
        return row, names.get(row.client_id, "")

    row, client = await page.read(read)
    here = f"{HOME}/{row.id}"
    steps = [DetailStep(f"{here}/entregas", "Entregas")]
    if page.holds(WRITES):
        steps += [DetailStep(f"{here}/mudar", "Mudar…"), DetailStep(f"{here}/segredo", "Trocar o segredo…")]
        if row.state == "enabled":
            steps += [
                DetailStep(f"{here}/testar", "Testar…"),
                DetailStep(f"{here}/repetir", "Avisar de novo…"),
                DetailStep(f"{here}/desligar", "Desligar…", danger=True),
            ]
        else:
            steps.append(DetailStep(f"{here}/ligar", "Ligar…"))
    facts = (
        ("Cliente", client),
        ("Para que serve", row.description),
        ("Eventos", ", ".join(row.events)),
        ("Criado", moment(row.created_at)),
        ("Desligado", _DISABLED_BY[row.disabled_by] if row.disabled_by else ""),
        ("Não responde, não é chamado até", moment(row.paused_until) if row.paused_until else ""),
    )
    return show_detail(page, Detail(row.url, (HOME, "Webhooks"), facts, steps, _state(row)))


class WebhookChangeForm(VersionForm):
    """An endpoint's changed data; its events are read separately."""

    url: webhooks.desk.Url
    description: webhooks.desk.About = ""


def _named(row: webhooks.desk.WebhookOut, act: str) -> dict[str, Any]:
    return {"path": f"{HOME}/{row.id}/{act}", "back": f"{HOME}/{row.id}", "facts": (("Endereço", row.url),)}


def _changing(row: webhooks.desk.WebhookOut, events: tuple[str, ...]) -> Confirmation:
    return Confirmation(
        title="Mudar este webhook",
        says=("Vale para o que acontecer a partir de agora.",),
        way_back="Pode ser mudado de novo aqui.",
        button="Mudar",
        fields=(
            ActField("url", "Endereço", value=row.url),
            ActField("description", "Para que serve", value=row.description, required=False),
            _events(events),
        ),
        seen=version_seen(row.version),
        **_named(row, "mudar"),
    )


@router.get(HOME + "/{webhook_id}/mudar", dependencies=[claims(READS, WRITES), step_up(), _MACHINES])
async def ask_change(webhook_id: UUID, page: SignedPage) -> Response:
    """Show the form of an endpoint."""
    row = await _one(page, webhook_id)
    return ask(page, _changing(row, tuple(row.events)))


@router.post(HOME + "/{webhook_id}/mudar", dependencies=[claims(READS, WRITES), step_up(), acts("webhook_changed")])
async def change(webhook_id: UUID, page: SignedPage) -> Response:
    """Change an endpoint's address, events and description."""
    form = await page.form(WebhookChangeForm)
    events = await marked_in(page, "events")
    row = await _one(page, webhook_id)
    fault = _fault(events)
    if form.value is None or fault:
        return ask_again(page, _changing(row, events), form.at("events", fault) if fault else form)
    changes = {"url": form.value.url, "description": form.value.description, "events": list(events)}
    try:
        async with page.database.transaction() as tx:
            await webhooks.desk.change(tx, _keeping(page.request), page.who, webhook_id, changes, form.value.known)
    except REFUSALS as error:
        return ask_again(page, _changing(row, events), form, error)
    return page.go(f"{HOME}/{webhook_id}", "Webhook mudado.")


def _switching(row: webhooks.desk.WebhookOut, *, on: bool) -> Confirmation:
    return Confirmation(
        title="Ligar este webhook?" if on else "Desligar este webhook?",
        says=(
            ("O endereço é avisado do que acontecer a partir de agora.",)
            if on
            else ("O endereço não é mais chamado. O que esperava é dado por perdido, e pode ser avisado de novo.",)
        ),
        way_back="“Desligar”, na página do webhook." if on else "“Ligar”, na página do webhook.",
        button="Ligar" if on else "Desligar",
        danger=not on,
        **_named(row, "ligar" if on else "desligar"),
    )


async def _switch(page: WebPage, webhook_id: UUID, *, on: bool) -> Response:
    form = await page.form(FormBody)
    row = await _one(page, webhook_id)
    state = "enabled" if on else "disabled"
    try:
        async with page.database.transaction() as tx:
            await webhooks.desk.change(tx, _keeping(page.request), page.who, webhook_id, {"state": state})
    except REFUSALS as error:
        return ask_again(page, _switching(row, on=on), form, error)
    return page.go(f"{HOME}/{webhook_id}", "Webhook ligado." if on else "Webhook desligado.")


@router.get(HOME + "/{webhook_id}/ligar", dependencies=[claims(READS, WRITES), step_up(), _MACHINES])
async def ask_on(webhook_id: UUID, page: SignedPage) -> Response:
    """Show what switching an endpoint on does."""
    return ask(page, _switching(await _one(page, webhook_id), on=True))


@router.post(HOME + "/{webhook_id}/ligar", dependencies=[claims(READS, WRITES), step_up(), acts("webhook_changed")])
async def switch_on(webhook_id: UUID, page: SignedPage) -> Response:
    """Switch an endpoint on."""
    return await _switch(page, webhook_id, on=True)


@router.get(HOME + "/{webhook_id}/desligar", dependencies=[claims(READS, WRITES), step_up(), _MACHINES])
async def ask_off(webhook_id: UUID, page: SignedPage) -> Response:
    """Show what switching an endpoint off does."""
    return ask(page, _switching(await _one(page, webhook_id), on=False))


@router.post(HOME + "/{webhook_id}/desligar", dependencies=[claims(READS, WRITES), step_up(), acts("webhook_changed")])
async def switch_off(webhook_id: UUID, page: SignedPage) -> Response:
    """Switch an endpoint off."""
    return await _switch(page, webhook_id, on=False)


class SecretForm(FormBody):
    """For how many hours the former secret signs as well."""

    overlap: Literal["0", "24", "168"]


def _rotating(row: webhooks.desk.WebhookOut) -> Confirmation:
    return Confirmation(
        title="Trocar o segredo deste webhook?",
        says=("O novo aparece uma única vez, na próxima página.",),
        way_back="O anterior assina também, pelo tempo que você escolher.",
        button="Trocar o segredo",
        fields=(ActField("overlap", "Por quanto tempo o anterior assina também", "choice", choices=_OVERLAPS),),
        **_named(row, "segredo"),
    )


@router.get(HOME + "/{webhook_id}/segredo", dependencies=[claims(READS, WRITES), step_up(), _MACHINES])
async def ask_rotation(webhook_id: UUID, page: SignedPage) -> Response:
    """Show what another secret does."""
    return ask(page, _rotating(await _one(page, webhook_id)))


@router.post(
    HOME + "/{webhook_id}/segredo", dependencies=[claims(READS, WRITES), step_up(), acts("webhook_secret_added")]
)
async def rotate(webhook_id: UUID, page: SignedPage) -> Response:
    """Issue a new secret for an endpoint, shown once."""
    form = await page.form(SecretForm)
    row = await _one(page, webhook_id)
    if form.value is None:
        return ask_again(page, _rotating(row), form)
    overlap = timedelta(hours=int(form.value.overlap))
    made: list[str] = []

    async def work(tx: Tx) -> object:
        made.append(
            (await webhooks.desk.rotate(tx, _keeping(page.request), page.who, webhook_id, overlap=overlap)).secret
        )
        return {}

    try:
        outcome = await page.once(work, payload=form.value.overlap, money=False)
    except REFUSALS as error:
        return ask_again(page, _rotating(row), form, error)
    if outcome.refused or not made:
        return page.go(f"{HOME}/{webhook_id}", outcome.refused or outcome.said(""))
    return show_once(
        page, "O novo segredo", made[0], f"{HOME}/{webhook_id}", says=f"Ele assina os avisos de {row.url}."
    )


def _testing(row: webhooks.desk.WebhookOut) -> Confirmation:
    return Confirmation(
        title="Testar este webhook?",
        says=("O endereço recebe o evento webhook.test, que não conta nada. O resultado fica nas entregas.",),
        way_back="Um teste não muda nada.",
        button="Mandar o teste",
        **_named(row, "testar"),
    )


@router.get(HOME + "/{webhook_id}/testar", dependencies=[claims(READS, WRITES), _MACHINES])
async def ask_test(webhook_id: UUID, page: SignedPage) -> Response:
    """Show what a test does."""
    return ask(page, _testing(await _one(page, webhook_id)))


@router.post(HOME + "/{webhook_id}/testar", dependencies=[claims(READS, WRITES), acts("webhook_tested")])
async def test(webhook_id: UUID, page: SignedPage) -> Response:
    """Send an endpoint a test event."""
    form = await page.form(FormBody)
    row = await _one(page, webhook_id)
    try:
        async with page.database.transaction() as tx:
            await webhooks.desk.test(tx, _keeping(page.request), page.who, webhook_id)
    except REFUSALS as error:
        return ask_again(page, _testing(row), form, error)
    return page.go(f"{HOME}/{webhook_id}/entregas", "Teste a caminho.")


def _delivery_state(row: webhooks.desk.DeliveryOut) -> Cell:
    if row.state == "delivered":
        return badge("Entregue", "ok", "check")
    return badge("Perdida", "bad", "x") if row.state == "dead" else badge("Espera", "warn", "clock")


_DELIVERIES: Table[webhooks.desk.DeliveryOut] = Table(
    HOME + "/{webhook_id}/entregas",
    "entregas",
    (
        TableColumn("webhook-id", lambda row: mono(str(row.message_id))),
        TableColumn("Evento", lambda row: words(row.event), "full"),
        TableColumn("Aconteceu", lambda row: instant(row.created_at), "nowrap", order=NEWEST),
        TableColumn("Tentativas", lambda row: count(row.attempts), "end"),
        TableColumn("Respondeu", lambda row: words(str(row.last_status or ""), row.last_error or ""), "full"),
        TableColumn("Próxima", lambda row: instant(row.next_attempt_at), "nowrap"),
        TableColumn("Situação", _delivery_state, "stack-end"),
    ),
    key=lambda row: row.message_id,
    filters=(Filter("situacao", "Situação", "choice", _DELIVERY_STATES),),
    empty=("Nenhuma entrega", "O que o endereço for avisado aparece aqui."),
)


def _deliveries_of(webhook_id: UUID, *, may: bool) -> Table[webhooks.desk.DeliveryOut]:
    here = f"{HOME}/{webhook_id}/entregas"
    return replace(_DELIVERIES, path=here, opens=(lambda row: f"{here}/{row.message_id}") if may else None)


async def _read_deliveries(
    page: WebPage, webhook_id: UUID, tx: Tx, asked: TableAsked, limit: int
) -> Page[webhooks.desk.DeliveryOut]:
    return await webhooks.desk.deliveries(
        tx, _keeping(page.request), page.who, webhook_id, asked.get("situacao"), asked.page_request(BY_ID, limit)
    )


@router.get(HOME + "/{webhook_id}/entregas", dependencies=[claims(READS), _MACHINES])
async def show_deliveries(webhook_id: UUID, page: SignedPage) -> Response:
    """List an endpoint's deliveries, the newest first."""
    may, read = page.holds(WRITES), partial(_read_deliveries, page, webhook_id)
    table = _deliveries_of(webhook_id, may=may)
    return await table.answer(page, read, template="console/deliveries.html", back=f"{HOME}/{webhook_id}", may=may)


@router.get(HOME + "/{webhook_id}/entregas.csv", dependencies=[claims(READS, EXPORT), step_up(), acts(EXPORTED)])
async def download_deliveries(webhook_id: UUID, page: SignedPage) -> Response:
    """Download an endpoint's deliveries as CSV."""
    table = _deliveries_of(webhook_id, may=False)
    return await table.download(page, partial(_read_deliveries, page, webhook_id))


def _replaying(row: webhooks.desk.WebhookOut, message_id: UUID) -> Confirmation:
    return Confirmation(
        title="Avisar de novo?",
        says=("O aviso volta à fila com o mesmo webhook-id: quem já o tratou o reconhece.",),
        way_back="O que foi entregue não se desfaz.",
        button="Avisar de novo",
        path=f"{HOME}/{row.id}/entregas/{message_id}",
        back=f"{HOME}/{row.id}/entregas",
        facts=(("Endereço", row.url), ("webhook-id", str(message_id))),
    )


@router.get(HOME + "/{webhook_id}/entregas/{message_id}", dependencies=[claims(READS, WRITES), _MACHINES])
async def ask_replay(webhook_id: UUID, message_id: UUID, page: SignedPage) -> Response:
    """Show what a replay does."""
    return ask(page, _replaying(await _one(page, webhook_id), message_id))


@router.post(
    HOME + "/{webhook_id}/entregas/{message_id}", dependencies=[claims(READS, WRITES), acts("webhook_replayed")]
)
async def replay(webhook_id: UUID, message_id: UUID, page: SignedPage) -> Response:
    """Replay a delivery."""
    form = await page.form(FormBody)
    row = await _one(page, webhook_id)
    try:
        async with page.database.transaction() as tx:
            await webhooks.desk.replay_one(tx, _keeping(page.request), page.who, webhook_id, message_id)
    except REFUSALS as error:
        return ask_again(page, _replaying(row, message_id), form, error)
    return page.go(f"{HOME}/{webhook_id}/entregas", "O aviso voltou à fila.")


class ReplayForm(FormBody):
    """The first day of a replay, and its events."""

    since: Day
    state: Literal["dead", "delivered"] | None = None
    after: Instant | None = None
    """The instant at which the last replay stopped because it reached the limit."""


def _replaying_since(row: webhooks.desk.WebhookOut, after: datetime | None = None) -> Confirmation:
    return Confirmation(
        title="Avisar de novo desde um dia?",
        says=("Até 10.000 avisos voltam à fila, do mais antigo ao mais novo, com os mesmos webhook-id.",),
        way_back="O que foi entregue não se desfaz.",
        button="Avisar de novo",
        fields=(
            ActField("since", "Desde o dia", "day"),
            ActField(
                "state",
                "Quais",
                "choice",
                choices=(("dead", "Só as perdidas"), ("delivered", "Só as entregues")),
                required=False,
            ),
        ),
        hidden=(("after", after.isoformat()),) if after is not None else (),
        **_named(row, "repetir"),
    )


@router.get(HOME + "/{webhook_id}/repetir", dependencies=[claims(READS, WRITES), _MACHINES])
async def ask_replay_since(webhook_id: UUID, page: SignedPage) -> Response:
    """Show the form of a replay."""
    return ask(page, _replaying_since(await _one(page, webhook_id)))


@router.post(HOME + "/{webhook_id}/repetir", dependencies=[claims(READS, WRITES), acts("webhook_replayed")])
async def replay_since(webhook_id: UUID, page: SignedPage) -> Response:
    """Replay an endpoint's events since a day."""
    form = await page.form(ReplayForm)
    row = await _one(page, webhook_id)
    if form.value is None:
        return ask_again(page, _replaying_since(row), form)
    since = form.value.after or begins(form.value.since)
    try:
        async with page.database.transaction() as tx:
            done = await webhooks.desk.replay_since(
                tx, _keeping(page.request), page.who, webhook_id, since=since, state=form.value.state
            )
    except REFUSALS as error:
        return ask_again(page, _replaying_since(row), form, error)
    message = f"{counted(done.replayed, 'aviso')} de volta à fila."
    if done.next_since is not None:
        again = form.saying(f"{message} Há mais, desde {moment(done.next_since)}: envie de novo para continuar dali.")
        return page.show(TEMPLATE, act=_replaying_since(row, done.next_since), form=again)
    return page.go(f"{HOME}/{webhook_id}/entregas", message)
