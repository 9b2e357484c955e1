"""The console's pages as each role sees them: nothing that a role may not see or do is in their HTML.

Links are followed: none leads to a refusal or a failure. Links, forms and buttons lead only to what the role's claims
allow, and the panel has no number of other screens.
"""

import re
from collections import Counter, deque
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import text

from carteira import demo
from carteira.embedded import Endpoints
from carteira.identity.roles.shipped import ADMINISTRATOR, ROLES
from carteira.modules import OPTIONAL_MODULES
from carteira.web.console.screens import HOME
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.console import desk_of
from tests.support.databases import NewDatabase
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import Person
from tests.web.console.test_walk import ENDLESS, screens_of

MOST_OF_A_ROUTE = 3
"""Pages that are opened of one route: rows of a list are alike."""
READER = "leitor"
LED_TO = (
    "/console/trabalhos/{number}/repetir",
    "/console/estabelecimentos/regra",
    "/console/perguntas/{question_id}/tirar",
)
"""Routes to which only rows lead, and which need more than the claim of their list."""


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    """An application with the demo data, and rows on the screens that those leave empty."""
    url = new_database("console_links")
    await demo.seed(url, OPTIONAL_MODULES)
    settings = settings_for(
        tmp_path_factory.mktemp("console_links"),
        database_url=url,
        redis_url=redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules=",".join(sorted(OPTIONAL_MODULES)),
        assistant_vectors=False,
    )
    async with running_app(settings) as running:
        await fill(running)
        yield running


async def fill(app: RunningApp) -> None:
    """Add rows where the demo data have none."""
    maker = app.operator()
    rule = await maker.call("PUT", "/benefits/merchants", json={"name": "FEIRA DA LAPA", "mcc": "5411"})
    assert rule.status_code < 300, rule.text
    claims = (await maker.get("/claims", limit=100)).json()["items"]
    reads = [one["id"] for one in claims if one["description"].endswith(":read")]
    role = await maker.post("/roles", {"description": READER, "claim_ids": reads})
    assert role.status_code == 201, role.text
    for reais in ("1.00", "999999.00"):
        body = purchase("123", reais, "5811")
        assert (await app.client.post(AUTHORIZER, content=body, headers=processor_headers())).status_code == 200
    async with app.database.transaction() as tx:
        await tx.execute(
            text("INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('default', 'x:y', 'failed')")
        )
        await tx.execute(
            text("INSERT INTO chatbot_unanswered (id, question, nearest, asked_at) VALUES (:id, 'E aí?', '{}', now())"),
            {"id": uuid4()},
        )


Address = tuple[str, str]
"""A method and an address."""
NUMBERS = {
    "Autorizações dos últimos": "benefits:read",
    "Saldos e lançamentos batem": "ledger:read",
    "Cadeia do livro-razão": "ledger:read",
    "Cadeia da auditoria": "audit:read",
    "Entradas": "audit:read",
    "Trabalhos": "house:read",
    "Eventos": "house:read",
    "pedidos? de titular": "users:write",
    "CPFs? em disputa": "identity:prove",
    "Pix a devolver": "payments:return",
    "Pix e a lista": "payments:read",
    "documentos? a conferir": "documents:review",
    "atendimentos? aberto": "assistant:read",
    "compras? a decidir": "purchases:approve",
    "Arquivo de contas|Créditos agendados": "benefits:write",
    "endereço.s. não respondem": "webhooks:read",
}
"""The panel's parts, and the claim that each needs."""
ALWAYS = tuple(NUMBERS)[:7]
"""Those that are there whatever there is to do."""


class Demands:
    """What the console's routes demand, found by address."""

    def __init__(self, app: RunningApp) -> None:
        screens = sorted(screens_of(app), key=lambda screen: screen[1].count("{"))
        self._routes = [
            (method, re.compile(re.sub(r"\\\{[^}]+\}", "[^/]+", re.escape(path))), path, claims)
            for method, path, claims in screens
        ]

    def of(self, method: str, address: str) -> tuple[str, frozenset[str]]:
        """Return the route at an address, and its claims."""
        path = address.partition("?")[0]
        found = [
            (route, claims) for one, known, route, claims in self._routes if one == method and known.fullmatch(path)
        ]
        assert found, f"no route answers {method} {address}"
        return found[0]


def leads_of(shown: Shown) -> set[Address]:
    """Return where a page's links, forms and buttons lead in the console."""
    found = {("GET", link.partition("#")[0]) for link in shown.links}
    found |= {("GET", to) for name, to in shown.attributes if name == "hx-get"}
    found |= {("POST", to) for name, to in shown.attributes if name == "formaction"}
    found |= {(form.method.upper(), form.action) for form in shown.forms}
    return {(method, to) for method, to in found if re.match(HOME + r"(?![^/?])", to)}


def shows_only(shown: Shown, demands: Demands, held: frozenset[str]) -> None:
    """Check that a page leads only to what these claims allow."""
    for method, to in leads_of(shown):
        route, claims = demands.of(method, to)
        assert claims <= held, (str(shown.answer.url), method, route, claims - held)


async def follow_all(app: RunningApp, browser: PlainBrowser, held: frozenset[str]) -> set[str]:
    """Follow the links of the pages from the panel on, and check each page; return the routes that were opened."""
    demands = Demands(app)
    waiting, met, opened = deque([HOME]), {HOME}, Counter[str]()
    while waiting:
        address = waiting.popleft()
        route, _ = demands.of("GET", address)
        if route == ENDLESS or opened[route] == MOST_OF_A_ROUTE:
            continue
        opened[route] += 1
        shown = await browser.get(address)
        assert shown.status != 403, (address, shown.text)
        assert shown.status < 500, (address, shown.text)
        shows_only(shown, demands, held)
        links = [link.partition("#")[0] for link in shown.links]
        new = [link for link in dict.fromkeys(links) if re.match(HOME + r"(?![^/?])", link) and link not in met]
        met.update(new)
        waiting.extend(new)
    return set(opened)


async def claims_of(app: RunningApp, role: str) -> frozenset[str]:
    """Return a role's claims."""
    maker = app.operator()
    roles = (await maker.get("/roles", limit=100)).json()["items"]
    role_id = next(one["id"] for one in roles if one["description"] == role)
    return frozenset(claim["description"] for claim in (await maker.get(f"/roles/{role_id}")).json()["claims"])


async def told_on_the_panel(browser: PlainBrowser) -> set[str]:
    """Return the parts that the panel shows."""
    main = (await browser.get(HOME)).answer.text.partition("<main")[2].partition("</main>")[0]
    return {part for part in NUMBERS if re.search(part, main)}


@pytest.mark.parametrize("role", [ADMINISTRATOR, *ROLES, READER])
async def test_a_roles_pages_show_only_what_it_may_see_and_their_links_open(app: RunningApp, role: str) -> None:
    held = await claims_of(app, role)
    async with desk_of(app, role) as browser:
        told = await told_on_the_panel(browser)
        opened = await follow_all(app, browser, held)
    assert told <= {part for part, claim in NUMBERS.items() if claim in held}
    assert {part for part in ALWAYS if NUMBERS[part] in held} <= told
    if role == ADMINISTRATOR:
        assert set(LED_TO) <= opened, "the screens have rows"
        assert len(told) > len(ALWAYS), "there is work to do"
    assert len(opened) > 3, opened


async def test_an_operator_of_one_employer_sees_only_what_they_may(app: RunningApp) -> None:
    clara = next(one for one in demo.PEOPLE if one.role == "RH")
    browser = PlainBrowser(app)
    person = Person(browser.client, clara.id, {}, email=clara.person.email)
    await browser.sign_in(person, demo.PASSWORD)
    assert not await told_on_the_panel(browser) & {*ALWAYS, "Arquivo de contas|Créditos agendados"}
    opened = await follow_all(app, browser, ROLES["RH"])
    await browser.client.aclose()
    assert {"/console/estabelecimentos", "/console/contas/{account}"} <= opened
    assert "/console/estabelecimentos/regra" not in opened
