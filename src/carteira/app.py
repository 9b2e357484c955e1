"""The composition root of the server: settings in, an ASGI application out."""

import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from joserfc.jwk import OKPKey
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from carteira import __version__, assistant, benefits, documents, identity, ledger, transit
from carteira.kit import docs, edge, health, log, metrics, problems, tokens, versions
from carteira.kit.access import public
from carteira.kit.module import Lane, Module
from carteira.kit.problems import NotAuthenticated
from carteira.kit.tx import Database
from carteira.settings import Settings

DESCRIPTION = """
Carteira é uma plataforma de carteira digital: uma identidade, um livro-razão em centavos e um autorizador de cartões.

Valores são inteiros em centavos (só `totalAmount` do autorizador é em reais). Erros são `application/problem+json`
(RFC 9457). POSTs que movem dinheiro aceitam `Idempotency-Key`. `API-Version` escolhe a versão da API.
"""


class Application:
    """The whole server: lean endpoints by path prefix first, everything else through the edge into FastAPI.

    Before even those, `carteira.protocol` offers data to the `lane` that a module may put on the app's state.
    """

    def __init__(self, api: FastAPI, app: ASGIApp, gates: Mapping[str, ASGIApp]) -> None:
        self.api = api
        self._app = app
        self._gates = gates

    @property
    def lane(self) -> Lane | None:
        """The lane, while there is one."""
        lane: Lane | None = getattr(self.api.state, "lane", None)
        return lane

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
        "documents": lambda: documents.module(
            home=settings.carteira_home,
            url=settings.documents_url,
            key_file=settings.documents_key_file,
            create_key=settings.environment == "development",
            aws_endpoint_url=settings.aws_endpoint_url,
            public_url=settings.public_url,
        ),
        "transit": transit.module,
        # After the modules that it speaks to: what they open, it finds open.
        "assistant": lambda: assistant.module(modules=settings.modules, vectors=settings.assistant_vectors),
    }
    others = [ledger.module(), *(make() for name, make in optional.items() if name in settings.modules)]
    return [identity.module(identity_config(settings), others), *others]


def identity_config(settings: Settings) -> identity.Config:
    """Choose what identity needs of the settings."""
    return identity.Config(
        home=settings.carteira_home,
        signing_key=access_key_file(settings),
        sealing_key=settings.identity_key_file or settings.carteira_home / "keys" / "identity.key",
        development=settings.environment == "development",
        redis_url=str(settings.redis_url) if settings.redis_url else None,
        smtp_url=settings.smtp_url.get_secret_value() if settings.smtp_url else None,
        mail_from=settings.mail_from,
        sms_url=settings.sms_url,
        sms_token=settings.sms_token.get_secret_value() if settings.sms_token else None,
        export_days_kept=settings.users_export_days,
    )


def access_key_file(settings: Settings) -> Path:
    """Say where the key that signs people's tokens lies; `tokens.rotate` takes it."""
    return settings.access_token_key_file or access_key_path(settings.carteira_home)


def access_key(settings: Settings) -> OKPKey:
    """Give the key that signs people's tokens; in development one is made in the home folder."""
    return tokens.load_or_create_key(access_key_file(settings))


def access_key_path(home: Path) -> Path:
    """Say where the development key lies."""
    return home / "keys" / "access-token.pem"


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
    api.state.authenticate = identity.authenticate
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
        time_limits={prefix: limit for module in modules for prefix, limit in module.time_limits.items()},
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
