"""Settings that production and staging refuse, each with a Portuguese sentence that names the setting."""

from collections.abc import Iterator
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from carteira.kit.db.address import DatabaseAddress
from carteira.kit.outbound.redis_address import RedisAddress
from carteira.settings import rules
from carteira.settings.tracing import OF_THE_SDK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from carteira.settings import Settings

DEVELOPMENT_JWT_SECRET = "development-only-secret-of-32-bytes!"  # noqa: S105 - production refuses it
SANDBOX_TOKEN = "sandbox"  # noqa: S105 - the stand-in's, which production refuses
SANDBOX_PIX_KEY = "simulacao@carteira.localhost"
_GOVBR_STAGING = ".staging.acesso.gov.br"
_SECRET_BYTES = 32
"""RFC 7518, section 3.2, for HS256."""
_DIFFERENT_BYTES = 10
"""A secret with fewer different bytes was typed, not drawn.

Of 32 random hex digits, fewer than 10 differ in one case of 2,000.
"""
_ALIKE = 0.85
_TOKEN_CHARACTERS = 16
_LEADERS = frozenset({"read-write", "primary"})
_KEY_FILE = "`carteira keys init` faz o arquivo e mostra a linha"
_HOW = {
    "database_url": "postgresql://usuário:senha@máquina/banco?sslmode=verify-full&sslrootcert=system",
    "redis_url": "rediss://:senha@máquina:6379/0",
    "access_token_key_file": _KEY_FILE,
    "identity_key_file": _KEY_FILE,
    "documents_key_file": _KEY_FILE,
    "credit_key_file": _KEY_FILE,
    "smtp_url": "smtps://usuário:senha@máquina",
    "sms_url": "o https:// do provedor de SMS",
    "public_url": "o https:// em que as pessoas chegam à Carteira",
    "trusted_proxies": "as redes dos seus proxies, ou none",
    "documents_url": "file:///pasta ou s3://bucket/prefixo",
    "erasure_journal_url": "file:///pasta ou s3://bucket/prefixo, longe do banco de dados",
    "malware_scan": "required, com CLAMD_URL, ou off",
    "recharge_without_payment": "true ou false: se recarregar um cartão de transporte dispensa pagamento",
}
"""The value to write where a setting is missing."""
ADDRESSES = (
    "sms_url",
    "base_url_cashback",
    "google_issuer",
    "govbr_issuer",
    "govbr_api_url",
    "meta_authorize_url",
    "meta_token_url",
    "meta_user_url",
    "pix_url",
    "pix_token_url",
    "pix_webhook_url",
)


def faults(settings: "Settings") -> Iterator[str]:
    """Yield a sentence for each setting with which production, or staging, does not start."""
    yield from _unset(settings)
    yield from _weak(settings)
    yield from _several_hosts(settings)
    yield from _in_clear(settings)
    yield from _traces_in_clear(settings)
    yield from _sandboxes(settings) if settings.environment == "production" else _reaching_people(settings)


def _sandboxes(settings: "Settings") -> Iterator[str]:
    """Yield the stand-ins for external services, which staging accepts."""
    if settings.token_cashback.get_secret_value() == SANDBOX_TOKEN:
        yield "TOKEN_CASHBACK é o do substituto do serviço de cashback, que é só para desenvolvimento e staging"
    for name in ("govbr_issuer", "govbr_api_url"):
        host = urlsplit(getattr(settings, name)).hostname or ""
        if settings.govbr_client_id and host.endswith(_GOVBR_STAGING):
            yield f"{name.upper()} é do ambiente de testes do gov.br"
    if "payments" in settings.modules:
        yield from _pix_sandbox(settings)


def is_pix_simulated(settings: "Settings") -> bool:
    """Return whether the payment provider is the stand-in: by its key."""
    return settings.pix_key == SANDBOX_PIX_KEY


def _pix_sandbox(settings: "Settings") -> Iterator[str]:
    """Yield the settings that belong to the stand-in payment provider: its key, its address, its authority."""
    if is_pix_simulated(settings) or settings.pix_client_id == SANDBOX_TOKEN:
        yield "PIX_KEY e PIX_CLIENT_ID são do substituto do provedor de Pix, que é só para desenvolvimento e staging"
    for name in ("pix_url", "pix_token_url"):
        if (url := getattr(settings, name)) and _is_here(urlsplit(url).hostname):
            yield f"{name.upper()} é desta máquina, onde só há o substituto do provedor de Pix"
    for name in ("pix_certificate_file", "pix_authority_file", "pix_webhook_authority_file"):
        if (file := getattr(settings, name)) and _is_signed_by_sandbox(file):
            yield f"{name.upper()} é do substituto do provedor de Pix, que é só para desenvolvimento e staging"


def _is_signed_by_sandbox(file: Path) -> bool:
    from carteira.kit.security.sandbox_authority import is_of_sandbox  # noqa: PLC0415 - only where there is a file

    try:
        return is_of_sandbox(file)
    except (OSError, ValueError):  # an unreadable file is reported when it is used
        return False


def _reaching_people(settings: "Settings") -> Iterator[str]:
    """Yield the senders by which staging would reach real people although no setting allows it."""
    if settings.mail_only_to is None:
        yield "MAIL_ONLY_TO precisa ser definida em staging (os domínios que recebem e-mails)"
    if settings.sms_url is not None and settings.sms_only_to is None:
        yield "SMS_ONLY_TO precisa ser definida em staging com SMS_URL (os telefones que recebem SMS)"


def _needed(settings: "Settings") -> Iterator[str]:
    """Yield the settings without a default in production, of modules that are on."""
    yield from ("database_url", "redis_url", "access_token_key_file", "identity_key_file", "smtp_url")
    yield from ("public_url", "trusted_proxies")
    if settings.environment == "production":
        yield "sms_url"
    if "documents" in settings.modules:
        yield from ("documents_url", "documents_key_file", "malware_scan")
    if "credit" in settings.modules:
        yield "credit_key_file"
    if "transit" in settings.modules:
        yield "recharge_without_payment"
    if settings.backup_url is not None:
        yield "erasure_journal_url"


def _unset(settings: "Settings") -> Iterator[str]:
    for name in _needed(settings):
        if getattr(settings, name) is None:
            yield f"{name.upper()} precisa ser definida" + (f" ({_HOW[name]})" if name in _HOW else "")
    for name in settings.unset_limits():
        kind = "uma porcentagem inteira" if name == "limit_tiers" else "um número de centavos"
        yield f"{name.upper()} precisa ser definida ({kind}, ou none)"
    for name in ("google", "meta", "govbr"):
        if getattr(settings, f"{name}_client_id") and not getattr(settings, f"{name}_client_secret"):
            yield f"{name.upper()}_CLIENT_SECRET precisa ser definida com {name.upper()}_CLIENT_ID"


def _several_hosts(settings: "Settings") -> Iterator[str]:
    """Yield the addresses with which a write could reach a replica: of several hosts, the first to answer is used."""
    for name in ("database_url", "migration_database_url"):
        if (url := getattr(settings, name)) is not None:
            database = DatabaseAddress.parse(url.get_secret_value())
            if len(database.hosts) > 1 and database.options.get("target_session_attrs") not in _LEADERS:
                yield f"{name.upper()}, com várias máquinas, precisa de target_session_attrs=read-write"


def has_weak_secret(settings: "Settings") -> bool:
    """Return whether a secret of `JWT_SECRET` is development's, too short, or typed."""
    return any(
        secret == DEVELOPMENT_JWT_SECRET or len(secret.encode()) < _SECRET_BYTES or len(set(secret)) < _DIFFERENT_BYTES
        for secret in settings.jwt_secrets
    )


def _weak(settings: "Settings") -> Iterator[str]:
    if has_weak_secret(settings):
        yield (
            "JWT_SECRET precisa ser um segredo sorteado de 32 bytes ou mais (openssl rand -hex 32), ou vários, "
            "separados por vírgula"
        )
    if settings.debug:
        yield "DEBUG precisa ficar desligada"
    if settings.operators_second_factor == "off":
        yield "OPERATORS_SECOND_FACTOR precisa ser required"
    metrics_token = settings.metrics_bearer()
    if metrics_token is not None and not rules.is_token(metrics_token, _TOKEN_CHARACTERS):
        yield f"METRICS_TOKEN precisa ter {_TOKEN_CHARACTERS} caracteres ASCII ou mais, sem espaços"
    if settings.trusted_proxies is not None and rules.trusts_all(settings.trusted_proxies):
        yield "TRUSTED_PROXIES precisa ser a rede dos seus proxies: de qualquer lugar viria quem diz ser outro"
    if metrics_token is None and not settings.metrics_open:
        yield "METRICS_TOKEN precisa ser definida, ou METRICS_OPEN=true dizer que /metrics fica aberta"
    if settings.docs_open is None:
        yield "DOCS_OPEN precisa ser true ou false: se /docs, /redoc e /openapi.json são servidos a qualquer um"


def _in_clear(settings: "Settings") -> Iterator[str]:
    """Yield the connections that would cross a network unencrypted; `…_INSECURE=true` permits one."""
    for name in ("database_url", "migration_database_url", "database_read_url"):
        url = getattr(settings, name)
        database = None if url is None or settings.database_insecure else DatabaseAddress.parse(url.get_secret_value())
        if database and not database.demands_tls and not all(_is_here(host.name) for host in database.hosts):
            yield (
                f"{name.upper()} precisa de sslmode=verify-full (ou require) fora desta máquina, ou "
                "DATABASE_INSECURE=true diz que a rede é de confiança"
            )
    if (url := settings.redis()) is not None and not settings.redis_insecure:
        redis = RedisAddress.parse(url)
        if redis.is_tls and not redis.is_verified:
            yield "REDIS_URL precisa conferir o certificado, ou REDIS_INSECURE=true diz que a rede é de confiança"
        if not redis.is_tls and not all(_is_here(host.name) for host in redis.hosts):
            yield (
                "REDIS_URL precisa ser rediss:// fora desta máquina (por Sentinel rediss+sentinel://), ou "
                "REDIS_INSECURE=true diz que a rede é de confiança"
            )
    if settings.smtp_url is not None and not settings.smtp_insecure:
        mail = urlsplit(settings.smtp_url.get_secret_value())
        starttls = rules.demands_starttls(settings.smtp_url.get_secret_value())
        if mail.scheme != "smtps" and not starttls and not _is_here(mail.hostname):
            yield (
                "SMTP_URL precisa ser smtps:// ou ter starttls=true fora desta máquina, ou SMTP_INSECURE=true diz que "
                "a rede é de confiança"
            )
    for name in (*ADDRESSES, "public_url"):
        address = urlsplit(getattr(settings, name) or "")
        if address.scheme == "http" and not _is_here(address.hostname):
            yield f"{name.upper()} precisa ser https:// fora desta máquina"


def _traces_in_clear(settings: "Settings") -> Iterator[str]:
    for name, collector in settings.collectors():
        parts = urlsplit(collector)
        if parts.scheme == "http" and not settings.otel_exporter_otlp_insecure and not _is_here(parts.hostname):
            yield (
                f"{name} precisa ser https:// fora desta máquina, ou OTEL_EXPORTER_OTLP_INSECURE=true diz que a rede "
                "é de confiança"
            )


def is_database_here(settings: "Settings") -> bool:
    """Return whether PostgreSQL is reached on this machine only."""
    if settings.database_url is None:
        return True
    return all(_is_here(host.name) for host in DatabaseAddress.parse(settings.database_url.get_secret_value()).hosts)


def _is_here(host: str | None) -> bool:
    """Return whether a host is this machine: a loopback address, or a Unix socket's folder."""
    if host is None or host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def misspelt(names: "Iterable[str]", known: "Collection[str]") -> dict[str, str]:
    """Return the unknown names that resemble a known one, each with that one."""
    found = {}
    for name in names:
        if name.upper() in known or name.upper().startswith(OF_THE_SDK):
            continue
        alike = get_close_matches(name.upper(), known, n=1, cutoff=_ALIKE)
        if alike:
            found[name] = alike[0]
    return found
