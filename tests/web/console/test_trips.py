"""The number of trips of each console screen to PostgreSQL: three at most, or with a reason."""

import re
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from sqlalchemy import text

from carteira.assistant.tickets import open_ticket
from carteira.identity.roles.shipped import ADMINISTRATOR
from carteira.web.console.screens import GROUPS
from tests.support import files
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.console import desk_of
from tests.support.documents import upload
from tests.support.pages import Shown
from tests.support.people import register
from tests.support.resellers import new_month, new_reseller
from tests.support.trips import counted
from tests.support.webhooks import new_hook

MOST = 3
ASKS = 4
"""How often each screen is opened. Standings are read again at times: the fewest trips count."""
EXCEPTIONS = {
    "/console": 5,
    "/console/contas": 4,
    "/console/compras": 4,
}
"""Screens that make more trips where there is something to show, and their maximum.

They are the panel, which asks for all counts in one statement, once it knows what is the operator's own, and lists that
use the API's verbs (`tests/house/test_trips.py` gives the reasons).
"""


Ask = Callable[[], Awaitable[Shown]]


async def fewest(ask: Ask, name: str) -> list[str]:
    """Ask a few times; return the fewest trips, without those that prepare a statement once a connection."""
    best: list[str] | None = None
    for _ in range(ASKS):
        with counted() as trips:
            shown = await ask()
        assert shown.status == 200, (name, shown.status, shown.text)
        asked = [one for one in trips.postgres if not one.startswith("prepare")]
        best = asked if best is None or len(asked) < len(best) else best
    assert best is not None
    return best


async def too_many(asks: dict[str, Ask], allowed: dict[str, int]) -> str:
    """Return which of some pages make more trips than they may, with the trips."""
    faults = []
    for name, ask in asks.items():
        best = await fewest(ask, name)
        if len(best) > allowed.get(name, MOST):
            faults.append("\n  ".join([f"{name}: {len(best)}", *(one[:160] for one in best)]))
    return "\n".join(faults)


async def test_a_screen_travels_three_times_at_most(app: RunningApp) -> None:
    paths = [screen.path for group in GROUPS for screen in group.screens]
    async with desk_of(app, ADMINISTRATOR) as browser:
        faults = await too_many({path: partial(browser.get, path) for path in paths}, EXCEPTIONS)
    assert not faults, faults


@pytest.fixture
async def row(app: RunningApp) -> dict[str, str]:
    """Something of each kind; return the addresses of their pages, by the screen."""
    operator, person = app.operator(), await register(app)
    account = await open_benefit_account(operator, user_id=person.id, FOOD=10_000)
    await app.client.post(AUTHORIZER, content=purchase(account, "1.00", "5411"), headers=processor_headers())
    (decision,) = (await operator.get("/transactions", account=account)).json()["items"]
    document = (await upload(person, files.png(), "rg.png", "image/png")).json()["id"]
    card = (await person.get("/transport-cards")).json()["items"][0]["id"]
    hook = await new_hook(operator, "http://127.0.0.1:9/", "benefits.credited")
    waits = {"category": "FOOD", "amount": 900_000_000}
    asked = (await app.person("benefits:write").post(f"/benefits/accounts/{account}/credits", waits)).json()
    seller, month = await new_reseller(app), new_month()
    for _ in range(10):
        await seller.buy(10_000, month)
    async with app.database.transaction() as tx:
        ticket = await open_ticket(tx, person.id, "Falar com alguém")
        reseller = await tx.scalar(text("SELECT id FROM resellers WHERE user_id = :id"), {"id": seller.id})
    return {
        "pessoas": str(person.id),
        "contas": account,
        "autorizacoes": decision["id"],
        "documentos": document,
        "cartoes": card,
        "webhooks": hook.id,
        "clientes": str(hook.client.id),
        "pendencias": asked["pending"]["id"],
        "atendimentos": str(ticket.id),
        "revendedores": str(reseller),
        "cpf": person.cpf,
        "seller": seller.cpf,
    }


OF_ONE = {
    "pessoas": ("", "/carteira", "/sessoes", "/suspender", "/sair", "/contatos", "/papel"),
    "contas": ("", "/bloquear", "/encerrar"),
    "autorizacoes": ("", "/estornar", "/devolver"),
    "documentos": ("", "/comparar", "/conferir"),
    "cartoes": ("", "/bloquear"),
    "webhooks": ("", "/entregas", "/testar"),
    "clientes": ("", "/permissoes", "/revogar"),
    "pendencias": ("", "/aprovar", "/recusar"),
    "atendimentos": ("", "/responder"),
    "revendedores": ("",),
}
"""Pages of one row and confirmations of acts on it, by the screen."""
_ACCOUNT = "an account by the API's verb: the caller's employers, the row, the look, the categories, and their balances"
_NAMES = "the row, what belongs to it, the look, and the names of those whom it names"
WITH_ROWS: dict[str, tuple[int, str]] = {
    "pessoas/carteira": (20, "a person's whole wallet: a verb of each module, as their own pages ask it"),
    "pessoas/sessoes": (4, _NAMES),
    "pessoas/papel": (4, "the person, the look, the roles, and the roles' claims"),
    "contas": (5, _ACCOUNT),
    "contas/bloquear": (5, _ACCOUNT),
    "contas/encerrar": (5, _ACCOUNT),
    "contas by form": (5, _ACCOUNT),
    "autorizacoes": (4, _NAMES),
    "documentos/comparar": (5, "the document, its holder's name, its file, and a look at the one and at the other"),
    "clientes/permissoes": (4, "the client, its claims, its credentials, and the claims that the operator may grant"),
    "pendencias": (7, "the operation, its people, and what it changes, as the account's own verb reads it"),
    "revendedores": (11, "the reseller, their months by the API's verb, and their adjustments with the parts of each"),
    "consultas-de-credito by form": (4, _NAMES),
    "compras/aprovar of all marked": (
        5,
        "all at once, however many are marked: rows, look, months, closings and tiers",
    ),
}
"""Pages that make more trips: their maximum, and the reason."""


async def test_pages_of_rows_searches_and_confirmations_travel_three_times_or_with_a_reason(
    app: RunningApp, row: dict[str, str]
) -> None:
    searches = {
        "pessoas": {"busca": row["cpf"]},
        "contas": {"conta": row["contas"]},
        "revendedores": {"cpf": row["seller"]},
        "cartoes": {"pessoa": row["pessoas"]},
        "consultas-de-credito": {"cpf": row["cpf"]},
    }
    async with desk_of(app, ADMINISTRATOR) as browser:
        asks: dict[str, Ask] = {
            f"{screen}{act}": partial(browser.get, f"/console/{screen}/{row[screen]}{act}")
            for screen, acts in OF_ONE.items()
            for act in acts
        }
        for screen, typed in searches.items():
            path = f"/console/{screen}"
            asks[f"{screen} by form"] = partial(browser.send, await browser.get(path), path, None, **typed)
        listed = await browser.get("/console/compras")
        ids = [value for name, value in listed.attributes if name == "value" and re.match(r"[0-9a-f-]{36}\.", value)]
        assert len(ids) >= 10
        fields = {"csrf": listed.form("/console/compras/reprovar").fields["csrf"], "id": ids}

        async def approve() -> Shown:
            return Shown(await browser.client.post("/console/compras/aprovar", data=fields))

        asks["compras/aprovar of all marked"] = approve
        assert set(WITH_ROWS) <= set(asks)
        faults = await too_many(asks, {name: most for name, (most, _) in WITH_ROWS.items()})
    assert not faults, faults
