"""The client of a payment provider: the Central Bank's API Pix, by OAuth2 client credentials over mutual TLS.

All requests are idempotent (reads; charges and returns with ids of ours), so failures are retried within a time budget.
A breaker that all processes share stops calls to a provider that is down. An answer that does not match the contract
exactly counts as no answer, never as a payment.
"""

import asyncio
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
import structlog
from prometheus_client import Counter, Histogram
from redis.asyncio import Redis

from carteira.kit.outbound.breaker import AWAY_SECONDS, REDIS_SECONDS, Breaker, BreakerMetrics, BreakerRules
from carteira.kit.outbound.http import TracedClient
from carteira.kit.outbound.redis import PatientRedis
from carteira.kit.values.exact_json import parse_lenient_json
from carteira.kit.values.money import InvalidAmount, parse_reais
from carteira.payments import brcode

MAX_ANSWER_BYTES = 1024 * 1024
PAGE = 100
"""Payments on one page of the provider's list."""
MAX_PAGES = 10_000
TOKEN_SPARE_SECONDS = 30
"""A token is not used during this time before its expiry."""
_LONGEST_TXID = 35
_OK, _MULTIPLE, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 300, 401, 403, 404
_SERVER_ERROR = 500
_NOT_NOW = frozenset({408, 425, 429})
_E2E = re.compile(r"[A-Za-z0-9]{32}", re.ASCII)
_WORD = re.compile(r"[A-Z_]{1,40}", re.ASCII)

Found = TypeVar("Found")
Read = Callable[[object], Found]
"""Parses an answer's JSON; raises ValueError or TypeError if it does not match the contract."""

log = structlog.get_logger(__name__)

calls_total = Counter(
    "carteira_payments_provider_calls", "Requests sent to the payment provider, by outcome", ["outcome"]
)
call_seconds = Histogram(
    "carteira_payments_provider_call_seconds",
    "Time of one request to the payment provider",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
unreadable_total = Counter(
    "carteira_payments_unreadable", "Payments of the provider's list that do not match the contract and were skipped"
)
breaker_metrics = BreakerMetrics("carteira_payments_provider", "the payment provider")


@dataclass(frozen=True)
class ProviderConfig:
    """The provider's address, our credentials there, and the time-outs."""

    url: str
    """The base of `/cob` and `/pix`, with the version: `https://pix.example/v2`."""
    token_url: str
    client_id: str
    key: str
    """The payee's Pix key."""
    client_secret: str = field(default="", repr=False)
    scopes: str = ""
    certificate: Path | None = None
    """Our certificate, and its chain, for mutual TLS."""
    certificate_key: Path | None = None
    authority: Path | None = None
    """The authority of the provider's certificate; None: the system's."""
    attempt_seconds: float = 4.0
    budget_seconds: float = 8.0
    attempts: int = 3
    backoff_seconds: float = 0.1
    breaker: BreakerRules = field(default_factory=BreakerRules)


class PaymentProviderDown(Exception):
    """The provider does not answer, or answers wrongly: charges, payments and returns wait for it."""


class ProviderRefused(Exception):
    """The provider refused the request, and would again. `kind` is its own reason."""

    def __init__(self, status: int, kind: str = "") -> None:
        super().__init__(f"{status} {kind}".strip())
        self.status = status
        self.kind = kind


class _Failed(Exception):
    """One request failed."""

    def __init__(self, outcome: str, *, retry: bool) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.retry = retry


ReturnStatus = Literal["EM_PROCESSAMENTO", "DEVOLVIDO", "NAO_REALIZADO"]
OURS = "ORIGINAL"
_RETURN_STATUSES = ("EM_PROCESSAMENTO", "DEVOLVIDO", "NAO_REALIZADO")


@dataclass(frozen=True, slots=True)
class Cob:
    """A charge at the provider; `amount` in centavos."""

    txid: str
    amount: int
    status: str
    location: str


@dataclass(frozen=True, slots=True)
class PixReturn:
    """A return of a payment, or of a part of it."""

    id: str
    amount: int
    status: ReturnStatus
    nature: str = OURS
    """The kind of return: requested by the payee, or made by banks among themselves (`MED_FRAUDE` …)."""


@dataclass(frozen=True, slots=True)
class Pix:
    """A payment that the provider has received; `amount` in centavos."""

    e2eid: str
    txid: str | None
    amount: int
    paid_at: datetime
    returns: tuple[PixReturn, ...] = ()
    key: str | None = None
    """The Pix key that was paid, if the provider names it."""


def read_pix(content: object) -> Pix:
    """Parse a provider's payment. Its data about the payer are dropped.

    Raises:
        ValueError: it is none.
    """
    members = _members(content)
    e2eid, txid = members.get("endToEndId"), members.get("txid") or None  # some write a missing one as a blank
    if not isinstance(e2eid, str) or not _E2E.fullmatch(e2eid):
        raise ValueError("no end-to-end id")
    if txid is not None and not (isinstance(txid, str) and 0 < len(txid) <= _LONGEST_TXID and txid.isascii()):
        raise ValueError("no txid")
    entries = members.get("devolucoes") or []
    if not isinstance(entries, list):
        raise TypeError("no list of returns")
    key = members.get("chave")
    return Pix(
        e2eid,
        txid,
        _centavos(members.get("valor")),
        _instant(members.get("horario")),
        tuple(map(_return, entries)),
        key if isinstance(key, str) and key else None,
    )


def _members(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("another shape")  # noqa: TRY004 - an answer is data, not a type
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("no text")
    return value


def _centavos(value: object) -> int:
    try:
        return parse_reais(_text(value))
    except InvalidAmount as error:
        raise ValueError("no amount") from error


def _instant(value: object) -> datetime:
    instant = datetime.fromisoformat(_text(value))
    if instant.tzinfo is None:
        raise ValueError("an instant of nowhere")
    return instant


def _nature(value: object) -> str:
    """Parse the kind of a return; an unknown kind must not make the payment unreadable."""
    if value is None:
        return OURS
    return value if isinstance(value, str) and _WORD.fullmatch(value) else "OUTRA"


def _return(content: object) -> PixReturn:
    members = _members(content)
    status = members.get("status")
    for known in _RETURN_STATUSES:
        if status == known:
            return_id = _text(members.get("id") or members.get("rtrId"))
            return PixReturn(return_id, _centavos(members.get("valor")), known, _nature(members.get("natureza")))  # type: ignore[arg-type] # one of them
    raise ValueError("a return in no state")


def _cob(content: object) -> Cob:
    members = _members(content)
    location = _text(members.get("location") or _members(members.get("loc")).get("location"))
    amount = _centavos(_members(members.get("valor")).get("original"))
    brcode.require_location(location)  # each display of the charge writes a code from it
    return Cob(_text(members.get("txid")), amount, _text(members.get("status")), location)


def reais(centavos: int) -> str:
    """Return centavos in the contract's form: `10.50`."""
    return f"{centavos // 100}.{centavos % 100:02d}"


class PixProvider:
    """The provider's client. One per process."""

    def __init__(self, config: ProviderConfig, client: httpx.AsyncClient, redis: Redis | None) -> None:
        self.config = config
        self._client = client
        patient = PatientRedis(redis, "payment provider", patience_seconds=REDIS_SECONDS, away_seconds=AWAY_SECONDS)
        self._breaker = Breaker(patient, "carteira:payments:breaker", config.breaker, breaker_metrics)
        self._token = ""
        self._token_until = 0.0
        self._asking_for_token = asyncio.Lock()

    async def charge(self, txid: str, amount: int, *, seconds: int, text: str) -> Cob:
        """Create a charge under an id of ours; return the existing one if there is one.

        Raises:
            PaymentProviderDown, ProviderRefused.
        """
        body = {
            "calendario": {"expiracao": seconds},
            "valor": {"original": reais(amount)},
            "chave": self.config.key,
            "solicitacaoPagador": text,
        }
        try:
            return await self._ask("PUT", f"/cob/{quote(txid)}", _cob, body=body)
        except ProviderRefused as refused:  # it may exist already, from a try whose answer was lost
            there = await self.charged(txid)
            if there is None:
                raise refused from None
            return there

    async def charged(self, txid: str) -> Cob | None:
        """Look a charge up; None: there is none.

        Raises:
            PaymentProviderDown, ProviderRefused.
        """
        return await self._get("/cob/" + quote(txid), _cob)

    async def payment(self, e2eid: str) -> Pix | None:
        """Look a payment up; None: there is none.

        Raises:
            PaymentProviderDown, ProviderRefused.
        """
        return await self._get("/pix/" + quote(e2eid), read_pix)

    async def payments(self, begin: datetime, end: datetime, *, returned: bool = False) -> AsyncIterator[list[Pix]]:
        """Yield the payments of a period, page by page; with `returned` only those with a return.

        Raises:
            PaymentProviderDown, ProviderRefused.
        """
        for page in range(MAX_PAGES):
            query = {
                "inicio": _written(begin),
                "fim": _written(end),
                "paginacao.paginaAtual": str(page),
                "paginacao.itensPorPagina": str(PAGE),
            } | ({"devolucaoPresente": "true"} if returned else {})
            found, pages = await self._ask("GET", "/pix", _page, query=query)
            yield found
            if page + 1 >= pages:
                return

    async def give_back(self, e2eid: str, return_id: str, amount: int) -> PixReturn:
        """Request a return of a payment or a part, under an id of ours; repeating it returns its state.

        Raises:
            PaymentProviderDown, ProviderRefused.
        """
        path = f"/pix/{quote(e2eid)}/devolucao/{quote(return_id)}"
        try:
            return await self._ask("PUT", path, _return, body={"valor": reais(amount)})
        except ProviderRefused as refused:
            there = await self._get(path, _return)
            if there is None:
                raise refused from None
            return there

    async def register_webhook(self, url: str) -> None:
        """Register the address of the provider's webhook.

        Raises:
            PaymentProviderDown, ProviderRefused.
        """
        await self._ask("PUT", "/webhook/" + quote(self.config.key, safe=""), _anything, body={"webhookUrl": url})

    async def webhook(self) -> str | None:
        """Return the address of the provider's webhook; None: there is none.

        Raises:
            PaymentProviderDown, ProviderRefused.
        """
        path = "/webhook/" + quote(self.config.key, safe="")
        return await self._get(path, lambda content: _text(_members(content).get("webhookUrl")))

    async def _get(self, path: str, read: Read[Found]) -> Found | None:
        try:
            return await self._ask("GET", path, read)
        except ProviderRefused as refused:
            if refused.status == _NOT_FOUND:
                return None
            raise

    async def _ask(
        self,
        method: str,
        path: str,
        read: Read[Found],
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
    ) -> Found:
        """Send a request until it is answered, or the attempts or the time are used up."""
        if (await self._breaker.before()).state == "open":
            calls_total.labels("held_back").inc()
            raise PaymentProviderDown
        deadline = time.monotonic() + self.config.budget_seconds
        failure = _Failed("not_tried", retry=False)
        for attempt in range(self.config.attempts):
            left = deadline - time.monotonic()
            try:
                answer = await self._attempt(method, path, body, query, min(left, self.config.attempt_seconds))
                found = read(answer)
            except _Failed as failed:
                failure = failed
            except ProviderRefused:
                await self._breaker.succeeded()
                raise
            except (ValueError, TypeError) as error:
                failure = _Failed("malformed", retry=False)
                log.warning("payment provider answer malformed", error=type(error).__name__, detail=str(error))
            else:
                await self._breaker.succeeded()
                return found
            pause = random.uniform(0, self.config.backoff_seconds * 2**attempt)  # noqa: S311 - jitter is no secret
            if not failure.retry or time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        await self._breaker.failed()
        log.warning("payment provider failed", outcome=failure.outcome)
        raise PaymentProviderDown from failure

    async def _attempt(
        self, method: str, path: str, body: object, query: Mapping[str, str] | None, seconds: float
    ) -> object:
        """Send one request with a token and return its answer's JSON; drop a refused token."""
        outcome, began = "ok", time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                headers = {"Authorization": f"Bearer {await self._bearer()}"}
                url = self.config.url.rstrip("/") + path
                return await self._send(method, url, headers=headers, json=body, params=query)
        except TimeoutError as error:
            outcome = "timeout"
            raise _Failed(outcome, retry=True) from error
        except ProviderRefused as refused:
            outcome = f"status_{refused.status}"
            if refused.status == _UNAUTHORIZED:
                self._token = ""
                raise _Failed(outcome, retry=True) from refused
            if refused.status == _FORBIDDEN:  # about us, not about this request
                raise _Failed(outcome, retry=False) from refused
            raise
        except _Failed as failed:
            outcome = failed.outcome
            raise
        finally:
            calls_total.labels(outcome).inc()
            call_seconds.observe(time.perf_counter() - began)

    async def _bearer(self) -> str:
        """Return a token; request a new one if the present one is about to expire."""
        async with self._asking_for_token:
            if not self._token or time.monotonic() > self._token_until:
                form = {"grant_type": "client_credentials"} | (
                    {"scope": self.config.scopes} if self.config.scopes else {}
                )
                auth = httpx.BasicAuth(self.config.client_id, self.config.client_secret)
                try:
                    answer = _members(await self._send("POST", self.config.token_url, data=form, auth=auth))
                    lasts = float(answer.get("expires_in") or 0)
                    self._token = _text(answer.get("access_token"))
                except (ValueError, TypeError) as error:
                    raise _Failed("no_token", retry=False) from error
                except ProviderRefused as refused:
                    raise _Failed("no_token", retry=False) from refused
                self._token_until = time.monotonic() + lasts - TOKEN_SPARE_SECONDS
            return self._token

    async def _send(self, method: str, url: str, **content: Any) -> object:  # noqa: ANN401 - httpx's own arguments
        body = bytearray()
        try:
            async with self._client.stream(method, url, **content) as response:
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > MAX_ANSWER_BYTES:
                        raise _Failed("too_long", retry=False)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise _Failed("connection", retry=True) from error
        status = response.status_code
        if status >= _SERVER_ERROR or status in _NOT_NOW:
            raise _Failed(f"status_{status}", retry=True)
        if not _OK <= status < _MULTIPLE:
            raise ProviderRefused(status, _kind_of(bytes(body)))
        return parse_lenient_json(bytes(body)) if body else {}


def _kind_of(body: bytes) -> str:
    """Return the provider's reason of a refusal: the last part of a problem's type."""
    try:
        kind = _members(parse_lenient_json(body)).get("type")
    except ValueError:
        return ""
    return ascii(kind.rpartition("/")[2])[1:-1][:64] if isinstance(kind, str) else ""


def _page(content: object) -> tuple[list[Pix], int]:
    members = _members(content)
    listed = members.get("pix")
    pages = _members(_members(members.get("parametros")).get("paginacao")).get("quantidadeDePaginas")
    if not isinstance(listed, list) or not isinstance(pages, int) or isinstance(pages, bool):
        raise ValueError("no page")  # noqa: TRY004 - an answer is data, not a type
    return [pix for item in listed if (pix := _listed(item)) is not None], pages


def _listed(content: object) -> Pix | None:
    """Parse a payment of the list; None, with a log line, if it is invalid, so that the others are processed."""
    try:
        return read_pix(content)
    except (ValueError, TypeError) as error:
        unreadable_total.inc()
        log.error("payment of the provider's list malformed", error=type(error).__name__, detail=str(error))  # noqa: TRY400 - wrong data
        return None


def _anything(content: object) -> object:
    return content


def _written(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tls_of(config: ProviderConfig) -> ssl.SSLContext:
    """Return the TLS context of calls: our certificate and the trusted authority.

    Raises:
        OSError: a file cannot be read, or is none.
    """
    for file in (config.authority, config.certificate, config.certificate_key):
        if file is not None:
            file.open("rb").close()  # the error names the file, which OpenSSL does not
    context = ssl.create_default_context(cafile=config.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.certificate is not None:
        context.load_cert_chain(config.certificate, config.certificate_key)
    return context


@asynccontextmanager
async def connected(config: ProviderConfig, redis: Redis | None) -> AsyncIterator[PixProvider]:
    """Open the one pooled client of this process."""
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30)
    async with TracedClient(
        timeout=config.budget_seconds, limits=limits, trust_env=False, verify=tls_of(config), follow_redirects=False
    ) as client:
        yield PixProvider(config, client, redis)
