"""The composition root of the server: settings in, an ASGI application out."""

import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

from fastapi import FastAPI, Request, Response
from joserfc.jwk import OKPKey
from redis.asyncio import Redis
from sqlalchemy import RowMapping
from starlette.types import ASGIApp, Receive, Scope, Send

from carteira import __version__, benefits, credit, ledger
from carteira.kit import docs, edge, health, log, metrics, problems, tokens, versions
from carteira.kit.access import Authenticate, Principal, public
from carteira.kit.module import Module
from carteira.kit.problems import NotAuthenticated
from carteira.kit.tx import Database
from carteira.settings import Settings

DESCRIPTION = """
Carteira é uma plataforma de carteira digital: uma identidade, um livro-razão em centavos e um autorizador de cartões.

Valores são inteiros em centavos (só `totalAmount` do autorizador é em reais). Erros são `application/problem+json`
(RFC 9457). POSTs que movem dinheiro aceitam `Idempotency-Key`. `API-Version` escolhe a versão da API.
"""


class Application:
    """The whole server: lean endpoints by path prefix first, everything else through the edge into FastAPI."""

    def __init__(self, api: FastAPI, app: ASGIApp, gates: Mapping[str, ASGIApp]) -> None:
        self.api = api
        self._app = app
        self._gates = gates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        if scope["type"] == "http":
            path: str = scope["path"]
            for prefix, gate in self._gates.items():
                if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}:
                    await gate(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def modules_of(settings: Settings) -> list[Module]:
    """Make the modules that the settings turn on; the ledger always is."""
    optional: dict[str, Callable[[], Module]] = {
        "benefits": lambda: benefits.module(
            strategy=settings.authorizer_strategy, jwt_secret=settings.jwt_secret.get_secret_value()
        ),
        "credit": lambda: credit.module(credit_config(settings), sources=_credit_sources()),
    }
    return [ledger.module(), *(make() for name, make in optional.items() if name in settings.modules)]


def credit_config(settings: Settings) -> credit.Config:
    """Say what credit is told; the command line makes its stores of the same."""
    return credit.Config(
        key_file=settings.credit_key_file or settings.carteira_home / "keys" / "credit.json",
        kms_key_id=settings.credit_kms_key_id,
        redis_url=str(settings.redis_url) if settings.redis_url else None,
        aws=credit.AwsAccess(settings.aws_region, settings.aws_endpoint_url),
        table=settings.credit_table,
        development=settings.environment == "development",
    )


def _credit_sources() -> list[credit.Source]:
    """Name what feeds base C: the authorizer's approved purchases."""

    def purchase(row: RowMapping) -> credit.Occurrence:
        movement = credit.Movement(
            id=str(row["id"]),
            occurred_at=row["created_at"],
            direction="out",
            amount=row["amount"],
            kind="benefits.purchase",
            description=row["merchant"],
            card_purchase=True,
            mcc=row["mcc"],
        )
        return credit.Occurrence(movement, cpf=row["cpf"], user_id=row["user_id"])

    return [credit.Source("benefits", benefits.purchase_events, purchase)]


def access_key(settings: Settings) -> OKPKey:
    """Give the key that signs people's tokens; in development one is made in the home folder."""
    return tokens.load_or_create_key(settings.access_token_key_file or access_key_path(settings.carteira_home))


def access_key_path(home: Path) -> Path:
    """Say where the development key lies."""
    return home / "keys" / "access-token.pem"


def _authenticate(key: OKPKey) -> Authenticate:
    async def authenticate(_request: Request, token: str) -> Principal:
        content = tokens.verify(key, token)
        try:
            return Principal(UUID(content["sub"]), frozenset(content.get("claims", ())))
        except (ValueError, TypeError) as error:
            raise NotAuthenticated from error

    return authenticate


def create_app(settings: Settings) -> Application:
    """Compose the server; nothing is opened before its lifespan begins."""
    modules = modules_of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.database = Database(settings.database(), pool_size=settings.database_pool_size)
            stack.push_async_callback(app.state.database.close)
            app.state.redis = _redis(settings)
            if app.state.redis is not None:
                stack.push_async_callback(app.state.redis.aclose)
            for module in modules:
                if module.lifespan is not None:
                    await stack.enter_async_context(module.lifespan(app))
            yield

    api = FastAPI(
        title="Carteira",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    api.state.settings = settings
    api.state.authenticate = _authenticate(access_key(settings))
    api.state.readiness = _readiness(settings, modules)
    problems.install(api)
    api.add_exception_handler(Exception, edge.on_exception)
    docs.install(api)
    api.include_router(health.router)
    _add_metrics(api, settings)
    for module in modules:
        for router in module.routers:
            api.include_router(router)
    app = edge.Edge(
        versions.Versions(api),
        max_body_bytes=settings.max_body_bytes,
        body_limits={prefix: limit for module in modules for prefix, limit in module.body_limits.items()},
        timeout_seconds=settings.request_timeout_seconds,
    )
    gates = {prefix: make(api) for module in modules for prefix, make in module.gates.items()}
    return Application(api, app, gates)


def _redis(settings: Settings) -> Redis | None:
    if settings.redis_url is None:
        return None
    return Redis.from_url(str(settings.redis_url))


def _readiness(settings: Settings, modules: list[Module]) -> dict[str, health.Check]:
    async def database(app: FastAPI) -> None:
        await app.state.database.ping()

    async def redis(app: FastAPI) -> object:
        return await app.state.redis.ping()

    checks: dict[str, health.Check] = {"database": database}
    if settings.redis_url:
        checks["redis"] = redis
    for module in modules:
        checks |= module.readiness
    return checks


def _add_metrics(api: FastAPI, settings: Settings) -> None:
    expected = settings.metrics_token.get_secret_value() if settings.metrics_token else None

    @api.get("/metrics", include_in_schema=False, dependencies=[public("Prometheus; METRICS_TOKEN closes it")])
    def get_metrics(request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if expected is not None and not hmac.compare_digest(given.encode(), expected.encode()):
            raise NotAuthenticated
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)


def from_environment() -> Application:
    """Make the application from the environment; the server's processes call this."""
    settings = Settings()
    log.configure(level=settings.log_level, form=settings.log_format)
    metrics.forget_dead_processes()
    return create_app(settings)
