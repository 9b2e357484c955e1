"""Checks the other network services: Redis, DynamoDB, documents' storage, mail, and external services."""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from carteira import credit, documents
from carteira.app import credit_config
from carteira.doctor.database import clock_finding
from carteira.doctor.findings import Diagnosis, fail, ok, warn
from carteira.doctor.machine import space_in
from carteira.kit.outbound import redis
from carteira.kit.outbound.redis_address import RedisAddress
from carteira.kit.values.clock import clock
from carteira.settings import Settings

SECONDS = 5.0
_CERTIFICATE_DAYS = 21
_PORTS = {"http": 80, "https": 443}


async def check_redis(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Check whether Redis answers and stores values, and compare its clock. Raises as the client."""
    url = settings.redis()
    if url is None:
        yield warn("redis", "REDIS_URL não está definida", "sem ele, limites e sessões valem por processo")
        return
    client = redis.connect(url)
    try:
        before = clock.now()
        seconds, micros = await client.time()
        yield clock_finding("do Redis", datetime.fromtimestamp(seconds + micros / 1e6, UTC), before)
        memory = await client.info("memory")
        version = (await client.info("server")).get("redis_version", "?")
        policy = memory.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            yield fail("redis", f"apaga chaves por falta de memória ({policy})", "defina maxmemory-policy noeviction")
        else:
            yield ok("redis", f"versão {version}, {RedisAddress.parse(url).place}")
    finally:
        await client.aclose()


async def check_storage(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Check DynamoDB's table and documents' storage, if their modules are on."""
    if "credit" in settings.modules:
        table = f"tabela {settings.credit_table}"
        if await credit.table_answers(credit_config(settings)):
            yield ok("dynamodb", table)
        elif settings.environment == "development":
            yield warn("dynamodb", f"{table} ainda não existe", "ela é criada no primeiro início do servidor")
        else:
            yield fail("dynamodb", f"{table} não existe", "crie-a antes de partir")
    if "documents" not in settings.modules:
        return
    url = settings.documents_url or (settings.carteira_home / "documents").as_uri()
    if url.startswith("file:"):
        yield _folder(settings, Path(unquote(urlsplit(url).path)))
    elif await documents.storage_answers(url, settings.aws_endpoint_url):
        yield ok("documentos", url)


def _folder(settings: Settings, folder: Path) -> Diagnosis:
    if folder.exists():
        return space_in("documentos", folder)
    if settings.environment == "development":
        return ok("documentos", f"{folder} é criada no primeiro início do servidor")
    return warn("documentos", f"{folder} não existe", "ela é criada no início do servidor, se possível")


def check_mail(settings: Settings) -> Iterator[Diagnosis]:
    """Connect to the mail server, with TLS and sign-in as for an e-mail, without sending one.

    Raises:
        OSError: it does not answer, or refuses (`smtplib.SMTPException` is one).
    """
    if settings.smtp_url is None:
        yield warn("e-mail", "SMTP_URL não está definida", "sem ela nenhuma mensagem sai")
        return
    parts = urlsplit(settings.smtp_url.get_secret_value())
    host, context = parts.hostname or "localhost", ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, parts.port or 25, timeout=SECONDS)
    with server:
        server.ehlo()
        if parts.scheme == "smtp" and parse_qs(parts.query).get("starttls") == ["true"]:
            server.starttls(context=context)
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.noop()
    yield ok("e-mail", f"{host} responde")


def addresses(settings: Settings) -> dict[str, str]:
    """Return the addresses that the settings name and that are in use, by setting."""
    known = {"SMS_URL": settings.sms_url, "PUBLIC_URL": settings.public_url}
    if "resellers" in settings.modules:
        known["BASE_URL_CASHBACK"] = settings.base_url_cashback
    if settings.google_client_id:
        known["GOOGLE_ISSUER"] = settings.google_issuer
    if settings.govbr_client_id:
        known |= {"GOVBR_ISSUER": settings.govbr_issuer, "GOVBR_API_URL": settings.govbr_api_url}
    if settings.meta_client_id:
        known |= {"META_TOKEN_URL": settings.meta_token_url, "META_USER_URL": settings.meta_user_url}
    return {name: url for name, url in known.items() if url}


async def check_address(name: str, url: str) -> Diagnosis:
    """Connect to an address, with TLS where it says so, and check its certificate's remaining validity."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    context = ssl.create_default_context() if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        text = f"{name}: o certificado de {host} não vale ({error.verify_message})"
        return fail("endereços", text, "renove-o, ou instale nesta máquina a autoridade que o assinou")
    except (OSError, TimeoutError) as error:
        text = f"{name}: {host}:{port} não responde daqui ({type(error).__name__})"
        return warn("endereços", text, f"confira {name}, o DNS e o firewall")
    certificate = writer.get_extra_info("peercert")
    writer.close()
    if not certificate:
        return ok("endereços", f"{name}: {host}:{port} responde")
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (ends - clock.now()).days
    if days < _CERTIFICATE_DAYS:
        return warn("endereços", f"{name}: o certificado de {host} vence em {days} dias", "renove-o")
    return ok("endereços", f"{name}: {host}, certificado até {ends:%d/%m/%Y}")


async def check_scanner(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Check whether the malware scanner answers, where it is required."""
    if settings.malware_scan != "required" or settings.clamd_url is None:
        return
    if await documents.scanner_answers(settings.clamd_url):
        yield ok("antivírus", settings.clamd_url)
    else:
        yield fail("antivírus", f"{settings.clamd_url} não responde", "nenhum arquivo é recebido até que responda")
