"""The links of the console's pages, followed by each role: none leads to a refusal or a failure."""

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
from tests.support.pages import PlainBrowser
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


async def follow_all(app: RunningApp, browser: PlainBrowser) -> set[str]:
    """Follow the links of the pages from the panel on; return the routes that were opened."""
    paths = sorted((path for method, path, _ in screens_of(app) if method == "GET"), key=lambda path: path.count("{"))
    routes = {path: re.compile(re.sub(r"\\\{[^}]+\}", "[^/]+", re.escape(path))) for path in paths}
    waiting, met, opened = deque([HOME]), {HOME}, Counter[str]()
    while waiting:
        address = waiting.popleft()
        route = next(path for path in paths if routes[path].fullmatch(address.partition("?")[0]))
        if route == ENDLESS or opened[route] == MOST_OF_A_ROUTE:
            continue
        opened[route] += 1
        shown = await browser.get(address)
        assert shown.status != 403, (address, shown.text)
        assert shown.status < 500, (address, shown.text)
        links = [link.partition("#")[0] for link in shown.links]
        new = [link for link in dict.fromkeys(links) if re.match(HOME + r"(?![^/?])", link) and link not in met]
        met.update(new)
        waiting.extend(new)
    return set(opened)


@pytest.mark.parametrize("role", [ADMINISTRATOR, *ROLES, READER])
async def test_every_link_of_a_roles_pages_opens(app: RunningApp, role: str) -> None:
    async with desk_of(app, role) as browser:
        opened = await follow_all(app, browser)
    if role == ADMINISTRATOR:
        assert set(LED_TO) <= opened, "the screens have rows"
    assert len(opened) > 3, opened


async def test_every_link_of_an_operator_of_one_employer_opens(app: RunningApp) -> None:
    clara = next(one for one in demo.PEOPLE if one.role == "RH")
    browser = PlainBrowser(app)
    person = Person(browser.client, clara.id, {}, email=clara.person.email)
    await browser.sign_in(person, demo.PASSWORD)
    opened = await follow_all(app, browser)
    await browser.client.aclose()
    assert {"/console/estabelecimentos", "/console/contas/{account}"} <= opened
    assert "/console/estabelecimentos/regra" not in opened
