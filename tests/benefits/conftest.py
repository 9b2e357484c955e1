from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import httpx
import pytest
from joserfc.jwk import OctKey

from carteira.app import access_key, create_app
from carteira.embedded import Endpoints
from carteira.kit.security import tokens
from carteira.settings import DEVELOPMENT_JWT_SECRET, Settings
from tests.benefits.support import Operator, processor_token


@pytest.fixture(scope="session")
def settings(database_url: str, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=endpoints.redis_url,
        carteira_home=tmp_path_factory.mktemp("home"),
        carteira_modules="benefits",
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
    """Sign a person's token: `token_for(user_id, "benefits:read")`."""
    key = access_key(settings)

    def make(user_id: UUID | None = None, *claims: str) -> str:
        return tokens.sign(key, subject=str(user_id or uuid4()), ttl_seconds=600, claims={"claims": list(claims)})

    return make


@pytest.fixture
def operator(client: httpx.AsyncClient, token_for: Callable[..., str]) -> Operator:
    return Operator(client, token_for(None, "*"))


@pytest.fixture
def processor() -> dict[str, str]:
    key = OctKey.import_key(DEVELOPMENT_JWT_SECRET)
    return {"Authorization": f"Bearer {processor_token(key)}"}
