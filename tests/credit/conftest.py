from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from carteira.app import access_key, create_app, credit_config
from carteira.credit import Stores
from carteira.credit.keys import load_or_create_key_file
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.security import tokens
from carteira.settings import Settings
from tests.credit.support import Desk
from tests.support.databases import NewDatabase


@pytest.fixture(scope="session")
def settings(
    database_url: str, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        credit_table=f"credit-{worker_id}",
        carteira_home=tmp_path_factory.mktemp("credit-home"),
    )


@pytest.fixture(scope="session")
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.api.router.lifespan_context(app.api),
        httpx.AsyncClient(transport=transport, base_url="http://carteira") as client,
    ):
        yield client


@pytest.fixture(scope="session")
def token_for(settings: Settings) -> Callable[..., str]:
    """Sign a person's token: `token_for(user_id, "credit:a:read")`."""
    key = access_key(settings)

    def make(user_id: UUID | None = None, *claims: str) -> str:
        return tokens.sign(key, subject=str(user_id or uuid4()), ttl_seconds=600, claims={"claims": list(claims)})

    return make


@pytest.fixture
def desk(client: httpx.AsyncClient, token_for: Callable[..., str]) -> Desk:
    return Desk(client, token_for(None, "*"))


@pytest.fixture(scope="session")
async def stores(settings: Settings, client: httpx.AsyncClient) -> AsyncIterator[Stores]:
    """The same bases as the client's, by hand."""
    del client  # it made the key file and the table
    async with Stores(credit_config(settings)).opened() as stores:
        yield stores


@pytest.fixture
def own_url(new_database: NewDatabase) -> str:
    """A database of the test's own, so that it meets its records only."""
    return new_database("own")


@pytest.fixture
async def own_database(own_url: str) -> AsyncIterator[Database]:
    database = Database(own_url, pool_size=5)
    yield database
    await database.close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "credit.json"
    load_or_create_key_file(path)
    return path
