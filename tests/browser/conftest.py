"""A headless Chromium (Debian's) in front of a real server. Where it is not installed these tests are skipped."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

from carteira.embedded import Endpoints
from tests.support.databases import NewDatabase
from tests.support.oidc_provider import Provider, running_provider
from tests.support.server import Server, running_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("NO CHROMIUM: nothing was proven in a browser (`apt-get install chromium`)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def server(
    endpoints: Endpoints,
    new_database: NewDatabase,
    tmp_path_factory: pytest.TempPathFactory,
    provider: Provider,
) -> Iterator[Server]:
    """The server, at `localhost`: for a browser, another site than the provider at 127.0.0.1."""
    home = tmp_path_factory.mktemp("browser")
    with running_server(
        home,
        workers=1,
        database_url=new_database("browser"),
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="none",
        log_level="debug",
        google_client_id="carteira-teste",
        google_client_secret="segredo",
        google_issuer=provider.url,
    ) as server:
        server.url = server.url.replace("127.0.0.1", "localhost")
        yield server


@pytest.fixture
async def page(browser: Browser, server: Server) -> AsyncIterator[Page]:
    """A fresh browser's page at the server's origin."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(server.url + "/docs")  # a page that may call its own origin; other answers may not
    yield page
    await context.close()
