"""The composition root of the server: settings in, an ASGI application out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import orjson
from fastapi import FastAPI
from joserfc.jwk import OKPKey
from procrastinate import Blueprint

from carteira import (
    __version__,
    assistant,
    benefits,
    credit,
    documents,
    identity,
    inbox,
    ledger,
    notices,
    payments,
    resellers,
    sharing,
    transit,
    web,
    webhooks,
)
from carteira.backup import ages as backup_ages
from carteira.backup import jobs as backup_jobs
from carteira.backup.config import BackupConfig
from carteira.database_state import DatabaseWatch, watched
from carteira.http_server.application import Application
from carteira.http_server.connections import Bounds
from carteira.integration.credit_sources import credit_sources
from carteira.integration.looks import LOOKS
from carteira.integration.payment_purposes import purposes
from carteira.integration.people import cpf_of, name_of, names_of
from carteira.integration.webhook_sources import webhook_sources
from carteira.kit.db import partitions
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Backlog
from carteira.kit.db.session import Tx
from carteira.kit.module import Module
from carteira.kit.ops import garbage, log, metrics, tracing
from carteira.kit.outbound import objects, redis
from carteira.kit.outbound.mail import Mailer
from carteira.kit.outbound.sentry import reporting_errors
from carteira.kit.outbound.sms import Sms, sms_of
from carteira.kit.outbound.targets import Targets
from carteira.kit.outbound.wakes import publisher
from carteira.kit.security import approvals_jobs, tokens
from carteira.kit.security.age import Recipients
from carteira.kit.security.audit_trail import AuditTrail
from carteira.kit.security.look_limits import LookLimit
from carteira.kit.security.rate_limits import Limiter
from carteira.kit.security.sealing import KeyedDigest
from carteira.kit.values.networks import TrustedProxies
from carteira.kit.web import docs, edge, health, openapi, pending, problems, routing, versions
from carteira.kit.web.access import AUTHENTICATE, LOOK_LIMIT, Bindings
from carteira.kit.web.approvals import DESK, Desk, People
from carteira.kit.web.client_address import ClientAddress
from carteira.kit.web.health import READINESS
from carteira.kit.web.public_address import UnderRootPath
from carteira.kit.web.state import AUDIT_TRAIL, BACKLOG, DATABASE, MODULES, PUBLIC_URL, REDIS, SETTINGS, StateKey
from carteira.settings import Settings
from carteira.settings.production import is_pix_simulated

_LOOPBACK = "127.0.0.0/8,::1/128"
_DATABASE_WATCH = StateKey[DatabaseWatch]("database_watch")
DESCRIPTION = """
Carteira é uma plataforma de carteira digital: uma identidade, um livro-razão em centavos e um autorizador de cartões.

Valores são inteiros em centavos (só `totalAmount` do autorizador é em reais). Erros são `application/problem+json`
(RFC 9457). POSTs que movem dinheiro aceitam `Idempotency-Key`. `API-Version` escolhe a versão da API.
"""
TAGS = {
    "operation": "Saúde do servidor, e operações que esperam uma segunda pessoa",
    "identity": "Pessoas, entrada, sessões, papéis e permissões, clientes (máquinas), auditoria",
    "ledger": "O livro-razão: contas, lançamentos, extratos, estornos, conferência",
    "documents": "Documentos de uma pessoa: arquivos selados, provas, conferência",
    "benefits": "Benefícios: empresas, contas, créditos, o autorizador de cartões e as suas transações",
    "transit": "Cartões de transporte, e as viagens que os validadores registram",
    "payments": "Pagamentos por Pix: cobranças, o que entrou, devoluções, a conferência com o provedor",
    "resellers": "Revendedores: compras e cashback",
    "credit": "Cadastro e pontuação de crédito de um CPF",
    "assistant": "A conversa com o assistente, os seus assuntos e atendimentos",
    "inbox": "Os avisos de uma pessoa",
    "webhooks": "Endereços de clientes que são avisados do que acontece, com assinatura",
}
"""The description of each tag, which `/docs` and clients' generators show."""


def modules_of(settings: Settings) -> list[Module]:
    """Make the modules that the settings turn on; identity, the ledger, the inbox and notices always are."""
    config = identity_config(settings)
    optional: dict[str, Callable[[], Module]] = {
        "payments": lambda: payments.module(payments_of(settings)),
        "benefits": lambda: benefits.module(
            strategy=settings.authorizer_strategy,
            processor=benefits.ProcessorSecrets(settings.jwt_secrets, settings.processor_token_seconds),
            mailer=config.mailer,
            sms=config.sms,
            link_base=config.link_base,
            decision_years_kept=settings.decision_years,
        ),
        "documents": lambda: documents.module(
            home=settings.carteira_home,
            url=settings.documents_url,
            key_file=settings.documents_key_file,
            create_key=settings.environment == "development",
            aws_endpoint_url=settings.aws_endpoint_url,
            scanner_url=settings.clamd_url if settings.malware_scan == "required" else None,
            holder_name=name_of,
        ),
        "transit": lambda: transit.module(
            recharge_without_payment=settings.recharges_are_free,
            tap_bounds=transit.ClockBounds(
                timedelta(minutes=settings.tap_ahead_minutes), timedelta(days=settings.tap_behind_days)
            ),
        ),
        "resellers": lambda: resellers.module(
            service=_cashback_service(settings), unproven_cpf=settings.unproven_cpf_policy
        ),
        "credit": lambda: credit.module(
            credit_config(settings), proven_cpf=identity.proven_cpf, sources=credit_sources()
        ),
        # After the modules that it calls, so that their connections are open before its own.
        "assistant": lambda: assistant.module(
            modules=settings.modules,
            free_recharges=settings.recharges_are_free,
            vectors=settings.assistant_vectors,
            eager=settings.environment != "development",
            question_days_kept=settings.question_days,
            home=settings.carteira_home,
        ),
    }
    others = [
        ledger.module(),
        *(make() for name, make in optional.items() if name in settings.modules),
        inbox.module(),
    ]
    if "webhooks" in settings.modules:
        bindings = [module.bindings for module in others if module.bindings is not None]
        others.append(webhooks.module(_webhooks(settings, bindings), webhook_sources(settings.modules)))
    made = [identity.module(config, others, LOOKS), *others]
    return [*made, web.module(), notices.module(config.mailer, made)]


def _daily_export(settings: Settings) -> identity.DailyExport:
    url = settings.users_export_url
    return identity.DailyExport(
        days_kept=settings.users_export_days,
        hour=settings.users_export_hour,
        form=settings.users_export_format,
        columns=settings.export_columns,
        place=None if url is None else objects.opener(url, aws_endpoint_url=settings.aws_endpoint_url),
    )


def identity_config(settings: Settings) -> identity.IdentityConfig:
    """Return identity's part of the settings."""
    return identity.IdentityConfig(
        home=settings.carteira_home,
        signing_key=access_key_file(settings),
        sealing_key=settings.identity_key_file or settings.carteira_home / "keys" / "identity.key",
        development=settings.environment == "development",
        outage_seconds=settings.session_outage_seconds,
        second_factor=settings.needs_second_factor,
        breached_passwords=settings.breached_passwords_file,
        password_words=tuple(word.strip() for word in settings.password_words.split(",") if word.strip()),
        registrations_per_hour=None if settings.registrations_per_hour == "none" else settings.registrations_per_hour,
        mailer=mailer_of(settings),
        sms=_sms(settings),
        contact_change_hours=settings.contact_change_hours,
        link_base=settings.address,
        export=_daily_export(settings),
        audit_years_kept=settings.audit_years,
        session_days_kept=settings.session_history_days,
        answer_days_kept=settings.idempotency_days,
        erasure_journal=erasure_journal(settings),
        social_page=web.SOCIAL_PAGE,
        google=_google(settings),
        meta=_meta(settings),
        govbr=_govbr(settings),
    )


def erasure_journal(settings: Settings) -> Callable[[], identity.ErasureJournal] | None:
    """Return the function that opens the journal of erasures; None: there is none."""
    if settings.erasure_journal_url is None or settings.backup_recipients is None:
        return None
    open_store = objects.opener(settings.erasure_journal_url, aws_endpoint_url=settings.aws_endpoint_url)
    recipients = Recipients.parse(settings.backup_recipients)
    return lambda: identity.ErasureJournal(open_store(), recipients)


def backup_config(settings: Settings) -> BackupConfig:
    """Return the settings of backups."""
    return BackupConfig(settings, credit_config(settings) if "credit" in settings.modules else None)


def _webhooks(settings: Settings, bindings: Sequence[Bindings]) -> webhooks.WebhookConfig:
    networks, development = settings.webhook_networks, settings.environment == "development"
    if development:
        networks = _LOOPBACK if networks.strip() == "none" else f"{networks},{_LOOPBACK}"
    return webhooks.WebhookConfig(
        targets=Targets(TrustedProxies.parse(networks).networks, plain_http=development),
        sealer=identity_config(settings).sealing_ring(),
        standing=identity.client_standing(bindings),
        retry=timedelta(hours=settings.webhook_retry_hours),
        kept=timedelta(days=settings.webhook_days),
    )


def mailer_of(settings: Settings) -> Mailer:
    """Return the sender of e-mails."""
    url = settings.smtp_url.get_secret_value() if settings.smtp_url else None
    return Mailer(url, settings.mail_from, settings.mail_domains)


def _sms(settings: Settings) -> Sms:
    token = settings.sms_token.get_secret_value() if settings.sms_token else None
    return sms_of(settings.sms_url, token, settings.carteira_home, settings.sms_phones)


def _google(settings: Settings) -> identity.GoogleConfig | None:
    if not (settings.google_client_id and settings.google_client_secret):
        return None
    return identity.GoogleConfig(
        settings.google_client_id, settings.google_client_secret.get_secret_value(), settings.google_issuer
    )


def _meta(settings: Settings) -> identity.MetaConfig | None:
    if not (settings.meta_client_id and settings.meta_client_secret):
        return None
    return identity.MetaConfig(
        settings.meta_client_id,
        settings.meta_client_secret.get_secret_value(),
        settings.meta_authorize_url,
        settings.meta_token_url,
        settings.meta_user_url,
    )


def _govbr(settings: Settings) -> identity.GovBrConfig | None:
    if not (settings.govbr_client_id and settings.govbr_client_secret):
        return None
    return identity.GovBrConfig(
        settings.govbr_client_id,
        settings.govbr_client_secret.get_secret_value(),
        settings.govbr_issuer,
        settings.govbr_api_url,
        settings.govbr_level,
    )


def web_config(settings: Settings) -> web.WebConfig:
    """Return the pages' part of the settings."""
    config = identity_config(settings)
    providers = {"govbr": config.govbr, "google": config.google, "meta": config.meta}
    return web.WebConfig(
        modules=settings.modules,
        https=config.https,
        root_path=settings.root_path,
        providers=tuple(name for name, provider in providers.items() if provider is not None),
        free_recharges=settings.recharges_are_free,
        pix=settings.pix_url is not None and "payments" in settings.modules,
        docs=settings.serves_docs,
        texts=settings.public_texts_folder,
        demonstration=config.development,
        ages=partial(backup_ages.ages, settings, backup_config(settings)),
    )


def access_key_file(settings: Settings) -> Path:
    """Return the path of the key that signs people's tokens, as `tokens.rotate` takes it."""
    return settings.access_token_key_file or access_key_path(settings.carteira_home)


def _cashback_service(settings: Settings) -> resellers.ServiceConfig:
    return resellers.ServiceConfig(
        base_url=settings.base_url_cashback,
        token=settings.token_cashback.get_secret_value(),
        attempt_seconds=settings.cashback_attempt_seconds,
        budget_seconds=settings.cashback_budget_seconds,
        cache_seconds=settings.cashback_cache_seconds,
    )


def payments_of(settings: Settings) -> payments.Payments:
    """Return payments' settings and purposes, for the server and for the command line."""
    return payments.Payments(_payments_config(settings), purposes(settings.modules))


def _payments_config(settings: Settings) -> payments.PaymentsConfig:
    given = settings.pix_webhook_secret
    name, _, value = (settings.pix_webhook_proxy_header or "").partition(":")
    return payments.PaymentsConfig(
        provider=_pix_provider(settings),
        merchant=settings.pix_merchant_name,
        city=settings.pix_merchant_city,
        lasts=timedelta(minutes=settings.pix_charge_minutes),
        simulated=is_pix_simulated(settings),
        returns_by_themselves=settings.pix_returns == "automatic",
        listener=_pix_listener(settings),
        proxy_header=(name, value.strip()) if name else None,
        signature=(settings.pix_webhook_signature_header, given.get_secret_value()) if given else None,
        webhook_url=settings.pix_webhook_url,
    )


def _pix_provider(settings: Settings) -> payments.ProviderConfig | None:
    if settings.pix_url is None:
        return None
    secret = settings.pix_client_secret
    return payments.ProviderConfig(
        url=settings.pix_url,
        token_url=settings.pix_token_url or "",
        client_id=settings.pix_client_id or "",
        client_secret=secret.get_secret_value() if secret else "",
        key=settings.pix_key or "",
        scopes=settings.pix_scopes,
        certificate=settings.pix_certificate_file,
        certificate_key=settings.pix_certificate_key_file,
        authority=settings.pix_authority_file,
        attempt_seconds=settings.pix_attempt_seconds,
        budget_seconds=settings.pix_budget_seconds,
    )


def _pix_listener(settings: Settings) -> payments.ListenerConfig | None:
    certificate, key = settings.pix_webhook_certificate_file, settings.pix_webhook_key_file
    authority = settings.pix_webhook_authority_file
    if settings.pix_webhook_port is None or certificate is None or key is None or authority is None:
        return None
    return payments.ListenerConfig(settings.pix_webhook_host, settings.pix_webhook_port, certificate, key, authority)


def credit_config(settings: Settings) -> credit.CreditConfig:
    """Return credit's settings, for the server and for the command line."""
    return credit.CreditConfig(
        key_file=settings.credit_key_file or settings.carteira_home / "keys" / "credit.json",
        kms_key_id=settings.credit_kms_key_id,
        redis_url=settings.redis(),
        aws=credit.AwsAccess(settings.aws_region, settings.aws_endpoint_url),
        table=settings.credit_table,
        development=settings.environment == "development",
        makes_people_up=settings.environment != "production",
    )


def access_key(settings: Settings) -> OKPKey:
    """Return the key that signs people's tokens; in development one is made in the home folder."""
    read = tokens.load_or_create_key if settings.environment == "development" else tokens.load_key
    return read(access_key_file(settings))


def access_key_path(home: Path) -> Path:
    """Return the path of the development key."""
    return home / "keys" / "access-token.pem"


def _set_state(api: FastAPI, settings: Settings, modules: list[Module]) -> None:
    """Set the application's values that exist before the lifespan."""
    SETTINGS.set(api, settings)
    MODULES.set(api, settings.modules)
    PUBLIC_URL.set(api, settings.public_url)
    AUTHENTICATE.set(api, identity.authenticate)
    DESK.set(api, _desk(settings, modules))
    READINESS.set(api, _readiness(settings, modules))
    renderer = web.renderer(web_config(settings))
    web.RENDERER.set(api, renderer)
    identity.DRAW_LINK.set(api, web.draw_link_with(renderer))
    BACKLOG.set(api, Backlog([follower for module in modules for follower in module.followers]))


def _lifespan(settings: Settings, modules: list[Module]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan, which opens the server's connections and closes them again."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(tracing.running(settings.tracing(settings.environment)))
            await stack.enter_async_context(reporting_errors(settings.sentry(), settings.environment))
            mark = str(await sharing.here(settings))
            database = Database(
                settings.database(), pool_size=settings.database_pool_size, mark=mark, replica=settings.replica()
            )
            DATABASE.set(app, database)
            stack.push_async_callback(database.close)
            watch = await stack.enter_async_context(watched(database, may_own=settings.may_own_tables))
            _DATABASE_WATCH.set(app, watch)
            client = redis.connect(url) if (url := settings.redis()) else None
            REDIS.set(app, client)
            if client is not None:
                stack.push_async_callback(client.aclose)
                database.wakes.publish = publisher(client)
                stack.push_async_callback(database.wakes.close)
            if settings.looks_per_hour != "none":
                LOOK_LIMIT.set(app, LookLimit(Limiter(client), settings.looks_per_hour))
            trail = AuditTrail(database, settings.carteira_home / "audit")
            AUDIT_TRAIL.set(app, trail)
            delivering = asyncio.create_task(trail.deliver_for_ever(), name="audit")
            stack.callback(delivering.cancel)
            for module in modules:
                if module.lifespan is not None:
                    await stack.enter_async_context(module.lifespan(app))
            yield

    return lifespan


def create_app(settings: Settings) -> Application:
    """Compose the server; nothing is opened before its lifespan begins."""
    modules = modules_of(settings)
    api = FastAPI(
        title="Carteira",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan(settings, modules),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # The framework's own would report paths and queries, which hold ids; `kit.ops.tracing` replaces it.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        openapi_tags=[{"name": name, "description": about} for name, about in TAGS.items()],
        servers=[{"url": identity_config(settings).link_base, "description": "Este servidor"}],
    )
    declared = declared_problems()
    _set_state(api, settings, modules)
    answer = web.answer_with(web.RENDERER.of(api))
    problems.install(api, answer, declared)
    api.add_exception_handler(Exception, edge.last_resort(answer))
    if settings.serves_docs:
        docs.install(api)
    own = [health.router, pending.router, health.metrics_router(settings.metrics_bearer())]
    routes = routing.add_routes(api, [*own, *(router for module in modules for router in module.routers)])
    gates = {prefix: make(api) for module in modules for prefix, make in module.gates.items()}
    openapi.install(api, declared)
    app = edge.Edge(
        versions.Versions(UnderRootPath(routes, settings.root_path)),
        max_body_bytes=settings.max_body_bytes,
        body_limits={prefix: limit for module in modules for prefix, limit in module.body_limits.items()},
        timeout_seconds=settings.request_timeout_seconds,
        https=(settings.public_url or "").startswith("https://"),
        time_limits={prefix: limit for module in modules for prefix, limit in module.time_limits.items()},
        answer=answer,
    )
    bounds = bounds_of(settings)
    return Application(api, ClientAddress(app, bounds.trusted), gates, bounds, settings.root_path)


def bounds_of(settings: Settings) -> Bounds:
    """Return the bounds of a connection to a server or to the worker."""
    return Bounds(
        head_seconds=settings.head_timeout_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        trusted=TrustedProxies.parse(settings.trusted_proxies or "none"),
    )


def blueprints_of(modules: list[Module]) -> dict[str, Blueprint]:
    """Return the worker's jobs by namespace: the kit's own and the modules'."""
    own = {"kit": approvals_jobs.blueprint, "partitions": partitions.blueprint, "backup": backup_jobs.blueprint}
    return own | {module.name: module.jobs for module in modules if module.jobs}


def observers_of(modules: list[Module]) -> list[Callable[[Tx], Awaitable[None]]]:
    """Return the functions that set metrics every few seconds in the worker: the kit's own and the modules'."""
    return [approvals_jobs.observe, partitions.observe, *(module.observe for module in modules if module.observe)]


@cache
def declared_problems() -> problems.Declared:
    """Return the problems that each operation may answer, from the file that `make reference` derives from the code."""
    declared: problems.Declared = orjson.loads((files("carteira") / "problems.json").read_bytes())
    return declared


def _desk(settings: Settings, modules: list[Module]) -> Desk:
    bindings = [module.bindings for module in modules if module.bindings is not None]
    ring = identity_config(settings).sealing_ring()
    return Desk(
        [operation for module in modules for operation in module.operations],
        settings.limits,
        lasts=timedelta(hours=settings.pending_hours),
        people=People(
            cpf_of,
            identity.still_may(bindings),
            names_of,
            identity.people_behind,
            identity.clients_of,
            require_cpf_proof=identity.require_proof if settings.unproven_cpf_policy == "refuse" else None,
        ),
        digests=KeyedDigest(ring, "pending operations: cpf").all,
        sealer=ring,
    )


def _readiness(settings: Settings, modules: list[Module]) -> dict[str, health.Check]:
    async def database(app: FastAPI) -> object:
        return await _DATABASE_WATCH.of(app).ready()

    async def ping_redis(app: FastAPI) -> object:
        client = REDIS.of(app)
        try:
            return client is not None and await client.ping()
        except redis.AWAY as error:
            raise health.NotReady(redis.why(error)) from error

    checks: dict[str, health.Check] = {"database": database}
    if settings.redis_url:
        checks["redis"] = ping_redis
    for module in modules:
        checks |= module.readiness
    return checks


def from_environment() -> Application:
    """Make the application from the environment; the server's processes call this."""
    settings = Settings()
    log.configure(level=settings.log_level, form=settings.log_format)
    metrics.forget_dead_processes()
    app = create_app(settings)
    garbage.collect_from_now_on()
    return app
