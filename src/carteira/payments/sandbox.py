"""A stand-in for a payment provider, for development, staging and tests: `carteira sandbox pix`.

Two listeners in one process. By mutual TLS: API Pix (`/oauth/token`, `/v2/cob`, `/v2/pix`, `/v2/webhook`). Without TLS,
on this machine only: a payer's page (`/`), where a code is pasted and paid, and `/sandbox/…`, which makes the provider
slow, wrong or down, lets it lose, repeat, reorder and forge webhooks, and lets it receive payments without a charge.
Its data are stored in a file, so that they survive a restart like a bank's books.
"""

import asyncio
import base64
import hmac
import random
import secrets
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
import structlog
import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from carteira.kit.security.sandbox_authority import SandboxCertificates
from carteira.kit.values.clock import clock
from carteira.kit.values.days import Instant
from carteira.kit.values.money import InvalidAmount, parse_reais
from carteira.payments import brcode, sandbox_pages
from carteira.payments.sandbox_books import Books, NoSuchCharge, SandboxPayment

CLIENT_ID = CLIENT_SECRET = "sandbox"  # noqa: S105 - guards nothing, and production refuses it
KEY = "simulacao@carteira.localhost"
"""The stand-in's Pix key, which production refuses."""
TOKEN_SECONDS = 300
TELL_ATTEMPTS = 3
TELL_SECONDS = 5.0
MOST_LATE_SECONDS = 2.0
"""The longest delay of a shuffled call."""
_CREATED, _BAD, _NO, _NONE = 201, 400, 401, 404
_PROBLEM = "https://pix.bcb.gov.br/api/v2/error/"

log = structlog.get_logger(__name__)

ApiMode = Literal["ok", "slow", "silent", "error", "unavailable", "refused", "html", "nothing", "wrong"]
Telling = Literal["ok", "lost", "doubled", "shuffled", "doubled_and_shuffled", "forged"]
Returning = Literal["ok", "pending", "fails"]


class PixBehaviour(BaseModel):
    """The provider's behaviour until it is changed: its API, its webhooks, and its returns."""

    model_config = ConfigDict(extra="forbid")

    api: ApiMode = "ok"
    seconds: float = Field(5.0, ge=0, le=600)
    times: int | None = Field(None, ge=1)
    """For how many requests the API behaves so; None: until it is changed."""
    tells: Telling = "ok"
    returns: Returning = "ok"


class PaymentIn(BaseModel):
    """A payment, even one that a bank would refuse: of a charge, or without one."""

    model_config = ConfigDict(extra="forbid")

    txid: str | None = Field(None, pattern=r"^[A-Za-z0-9]{1,35}$")
    amount: int | None = Field(None, ge=1, le=10**12)
    paid_at: Instant | None = None
    tell: bool = True


class TakenBackIn(BaseModel):
    """A return that the payer's bank made by the banks' own rules, without a request from here."""

    model_config = ConfigDict(extra="forbid")

    e2eid: str
    amount: int = Field(ge=1, le=10**12)
    nature: Literal["ORIGINAL", "RETIRADA", "MED_OPERACIONAL", "MED_FRAUDE"] = "MED_FRAUDE"
    tell: bool = True


def _problem(status: int, kind: str, detail: str) -> Response:
    content = {"type": _PROBLEM + kind, "title": kind, "status": status, "detail": detail}
    return JSONResponse(content, status, media_type="application/problem+json")


_WRONG: dict[ApiMode, Callable[[], Response]] = {
    "error": lambda: JSONResponse({"message": "Internal server error"}, 500),
    "unavailable": lambda: _problem(503, "ServicoIndisponivel", "Em manutenção."),
    "refused": lambda: _problem(403, "AcessoNegado", "Sem permissão."),
    "html": lambda: HTMLResponse("<!doctype html><title>Em manutenção</title><h1>Voltamos já</h1>"),
    "nothing": lambda: Response(b""),
    "wrong": lambda: JSONResponse({"txid": 1, "pix": "?", "valor": "-1"}),
}


class PixSandbox:
    """The stand-in's state and its two ASGI applications. `pages` is the address of the payer's page."""

    def __init__(self, books: Books, certificates: SandboxCertificates, pages: str) -> None:
        self.books = books
        self.behaviour = PixBehaviour()
        self.asked = 0
        """Requests of the API so far, those that were answered wrong included."""
        self._certificates = certificates
        self._pages = pages
        self._tokens: set[str] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self.api = Starlette(
            routes=[
                Route("/oauth/token", self._guarded(self._issue_token), methods=["POST"]),
                Route("/v2/cob/{txid}", self._guarded(self._put_cob), methods=["PUT"]),
                Route("/v2/cob/{txid}", self._guarded(self._get_cob), methods=["GET"]),
                Route("/v2/pix", self._guarded(self._list_pix), methods=["GET"]),
                Route("/v2/pix/{e2eid}", self._guarded(self._get_pix), methods=["GET"]),
                Route("/v2/pix/{e2eid}/devolucao/{id}", self._guarded(self._put_return), methods=["PUT"]),
                Route("/v2/pix/{e2eid}/devolucao/{id}", self._guarded(self._get_return), methods=["GET"]),
                Route("/v2/webhook/{key}", self._guarded(self._put_webhook), methods=["PUT"]),
                Route("/v2/webhook/{key}", self._guarded(self._get_webhook), methods=["GET"]),
            ]
        )
        self.pages = Starlette(
            routes=[
                Route("/", self._show_front),
                Route("/qr/v2/{location}", self._show_payload),
                Route("/pagar", self._find_code, methods=["POST"]),
                Route("/pagar/{location}", self._show_charge, methods=["GET"]),
                Route("/pagar/{location}", self._pay_charge, methods=["POST"]),
                Route("/sandbox/behaviour", self._put_behaviour, methods=["PUT"]),
                Route("/sandbox/behaviour", self._delete_behaviour, methods=["DELETE"]),
                Route("/sandbox/payments", self._post_payment, methods=["POST"]),
                Route("/sandbox/returns", self._post_taken_back, methods=["POST"]),
                Route("/sandbox/account", self._get_account, methods=["GET"]),
                Route("/sandbox/tell/{e2eid}", self._send_again, methods=["POST"]),
                Route("/health", _answer_ok),
            ]
        )

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Answer by the present behaviour, and only requests with a token."""

        async def guarded(request: Request) -> Response:
            self.asked += 1
            mode, seconds = self._mode()
            if mode in {"slow", "silent"}:
                await _wait_or_disconnect(seconds if mode == "slow" else None, request)
            elif mode in _WRONG:
                return _WRONG[mode]()
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if answer != self._issue_token and (scheme != "Bearer" or token not in self._tokens):
                return _problem(_NO, "AcessoNegado", "Token desconhecido.")
            return await answer(request)

        return guarded

    def _mode(self) -> tuple[ApiMode, float]:
        behaviour = self.behaviour
        if behaviour.times is not None:
            left = behaviour.times - 1
            changes = {"times": left} if left else {"times": None, "api": "ok"}
            self.behaviour = behaviour.model_copy(update=changes)
        return behaviour.api, behaviour.seconds

    async def _issue_token(self, request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        wanted = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if not hmac.compare_digest(given, wanted):
            return JSONResponse({"error": "invalid_client"}, _NO)
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})

    async def _put_cob(self, request: Request) -> Response:
        try:
            asked = await request.json()
            amount = parse_reais(asked["valor"]["original"])
            lasts = int(asked["calendario"]["expiracao"])
        except (ValueError, KeyError, TypeError, InvalidAmount):
            return _problem(_BAD, "CobOperacaoInvalida", "A cobrança não respeita o esquema.")
        if asked.get("chave") != KEY:
            return _problem(_BAD, "CobOperacaoInvalida", "A chave é de outro usuário.")
        txid = request.path_params["txid"]
        location = f"{self._pages.removeprefix('http://')}/qr/v2/{secrets.token_hex(16)}"
        if not self.books.add_charge(txid, amount, location, clock.now(), timedelta(seconds=lasts)):
            return _problem(_BAD, "CobOperacaoInvalida", "O txid já foi usado.")
        return JSONResponse(self.books.charge(txid).as_json(), _CREATED)

    async def _get_cob(self, request: Request) -> Response:
        try:
            return JSONResponse(self.books.charge(request.path_params["txid"]).as_json())
        except NoSuchCharge:
            return _problem(_NONE, "CobNaoEncontrado", "Não há cobrança com este txid.")

    async def _list_pix(self, request: Request) -> Response:
        query = request.query_params
        page, size = int(query.get("paginacao.paginaAtual", "0")), int(query.get("paginacao.itensPorPagina", "100"))
        found = self.books.payments(query["inicio"], query["fim"], returned=query.get("devolucaoPresente") == "true")
        shown = found[page * size : (page + 1) * size]
        pages = {
            "paginaAtual": page,
            "itensPorPagina": size,
            "quantidadeDePaginas": max(1, -(-len(found) // size)),
            "quantidadeTotalDeItens": len(found),
        }
        about = {"inicio": query["inicio"], "fim": query["fim"], "paginacao": pages}
        return JSONResponse({"parametros": about, "pix": [payment.as_json() for payment in shown]})

    async def _get_pix(self, request: Request) -> Response:
        payment = self.books.payment(request.path_params["e2eid"])
        if payment is None:
            return _problem(_NONE, "PixNaoEncontrado", "Não há Pix com este endToEndId.")
        return JSONResponse(payment.as_json())

    async def _put_return(self, request: Request) -> Response:
        e2eid, return_id = request.path_params["e2eid"], request.path_params["id"]
        try:
            amount = parse_reais((await request.json())["valor"])
        except (ValueError, KeyError, TypeError, InvalidAmount):
            return _problem(_BAD, "PixDevolucaoInvalida", "O valor não respeita o esquema.")
        states = {"ok": "DEVOLVIDO", "pending": "EM_PROCESSAMENTO", "fails": "NAO_REALIZADO"}
        status = states[self.behaviour.returns]
        if not self.books.add_return(e2eid, return_id, amount, status, clock.now()):
            return _problem(_BAD, "PixDevolucaoInvalida", "Não há o que devolver, ou o id já foi usado.")
        return JSONResponse(self.books.return_json(e2eid, return_id), _CREATED)

    async def _get_return(self, request: Request) -> Response:
        e2eid, return_id = request.path_params["e2eid"], request.path_params["id"]
        if self.behaviour.returns == "ok":
            self.books.settle_return(e2eid, return_id)
        content = self.books.return_json(e2eid, return_id)
        return JSONResponse(content) if content else _problem(_NONE, "PixDevolucaoNaoEncontrada", "Não há.")

    async def _put_webhook(self, request: Request) -> Response:
        self.books.webhook = (await request.json())["webhookUrl"]
        return JSONResponse({})

    async def _get_webhook(self, request: Request) -> Response:
        if self.books.webhook is None:
            return _problem(_NONE, "WebhookNaoEncontrado", "Não há.")
        key = request.path_params["key"]
        return JSONResponse({"webhookUrl": self.books.webhook, "chave": key, "criacao": clock.now().isoformat()})

    async def _show_front(self, _request: Request) -> Response:
        return HTMLResponse(sandbox_pages.front())

    async def _show_payload(self, request: Request) -> Response:
        charge = self.books.charge_at(request.path_params["location"])
        return JSONResponse(charge.as_json()) if charge else Response(status_code=_NONE)

    async def _find_code(self, request: Request) -> Response:
        code = str((await request.form()).get("codigo", "")).strip()
        try:
            location = brcode.read(code).get("26.25", "").rpartition("/")[2]
        except brcode.InvalidBrCode:
            return HTMLResponse(sandbox_pages.front("Este código não é um Pix Copia e Cola."), 422)
        if self.books.charge_at(location) is None:
            return HTMLResponse(sandbox_pages.front("Este provedor não tem esta cobrança."), _NONE)
        return RedirectResponse(f"/pagar/{location}", 303)

    async def _show_charge(self, request: Request) -> Response:
        charge = self.books.charge_at(request.path_params["location"])
        if charge is None:
            return HTMLResponse(sandbox_pages.front("Este provedor não tem esta cobrança."), _NONE)
        return HTMLResponse(sandbox_pages.charge(charge, clock.now()))

    async def _pay_charge(self, request: Request) -> Response:
        charge = self.books.charge_at(request.path_params["location"])
        if charge is None or not charge.is_open(clock.now()):
            return HTMLResponse(sandbox_pages.front("Esta cobrança não pode mais ser paga."), 409)
        self.pay(PaymentIn(txid=charge.txid))
        return RedirectResponse(f"/pagar/{request.path_params['location']}", 303)

    async def _put_behaviour(self, request: Request) -> Response:
        try:
            self.behaviour = PixBehaviour.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid(error)
        return Response(status_code=204)

    async def _delete_behaviour(self, _request: Request) -> Response:
        self.behaviour = PixBehaviour()
        return Response(status_code=204)

    async def _post_payment(self, request: Request) -> Response:
        try:
            asked = PaymentIn.model_validate_json(await request.body())
            return JSONResponse(self.pay(asked).as_json(), _CREATED)
        except ValidationError as error:
            return _invalid(error)
        except NoSuchCharge:
            return Response(status_code=_NONE)

    async def _post_taken_back(self, request: Request) -> Response:
        try:
            asked = TakenBackIn.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid(error)
        now, return_id = clock.now(), secrets.token_hex(16)
        if not self.books.add_return(asked.e2eid, return_id, asked.amount, "DEVOLVIDO", now, asked.nature):
            return Response(status_code=_NONE)
        payment = self.books.payment(asked.e2eid)
        if asked.tell and payment is not None:
            self._send_webhook(payment)
        return JSONResponse(self.books.return_json(asked.e2eid, return_id), _CREATED)

    async def _get_account(self, _request: Request) -> Response:
        return JSONResponse(self.books.account())

    async def _send_again(self, request: Request) -> Response:
        payment = self.books.payment(request.path_params["e2eid"])
        if payment is None:
            return Response(status_code=_NONE)
        self._send_webhook(payment)
        return Response(status_code=204)

    def pay(self, asked: PaymentIn) -> SandboxPayment:
        """Receive a payment, and send its webhook.

        Raises:
            NoSuchCharge: it names no amount, and no charge that has one.
        """
        amount = asked.amount or self.books.charge(asked.txid or "").amount
        payment = self.books.add_payment(asked.txid, amount, asked.paid_at or clock.now())
        if asked.tell:
            self._send_webhook(payment)
        return payment

    def _send_webhook(self, payment: SandboxPayment) -> None:
        """Send a payment's webhook in the background, by the present behaviour."""
        how = self.behaviour.tells
        if how == "forged":
            self._forge(payment)
            return
        for _ in range(0 if how == "lost" else 2 if how.startswith("doubled") else 1):
            late = random.uniform(0, MOST_LATE_SECONDS) if how.endswith("shuffled") else 0.0  # noqa: S311 - no secret
            self._in_background(self._call(payment.as_json(), late))

    def _forge(self, payment: SandboxPayment) -> None:
        """Send a forged webhook of the same charge, with the provider's certificate and without one."""
        for shows_certificate in (False, True):
            invented = {"endToEndId": "E" + secrets.token_hex(16)[:31]}
            self._in_background(self._call(payment.as_json() | invented, 0.0, shows_certificate=shows_certificate))

    def _in_background(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self, content: dict[str, Any], late: float, *, shows_certificate: bool = True) -> None:
        """Call the webhook a few times; if it never succeeds, the call is lost."""
        await asyncio.sleep(late)
        url, teller = self.books.webhook, self._certificates.teller
        if url is None:
            return
        tls = ssl.create_default_context(cafile=self._certificates.authority)
        if shows_certificate:
            tls.load_cert_chain(teller.certificate, teller.key)
        async with httpx.AsyncClient(verify=tls, timeout=TELL_SECONDS, trust_env=False) as client:
            for attempt in range(TELL_ATTEMPTS):
                try:
                    answer = await client.post(url.rstrip("/") + "/pix", json={"pix": [content]})
                except httpx.HTTPError as error:
                    log.info("webhook not received", error=type(error).__name__)
                else:
                    if answer.is_success:
                        return
                await asyncio.sleep(2.0**attempt)

    async def close(self) -> None:
        """Stop sending webhooks, and close the books."""
        for task in list(self._calls):
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        self.books.close()


async def _answer_ok(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _invalid(error: ValidationError) -> Response:
    problems = [{"field": ".".join(map(str, item["loc"])), "message": item["msg"]} for item in error.errors()]
    return JSONResponse({"errors": problems}, 422)


async def _wait_or_disconnect(seconds: float | None, request: Request) -> None:
    """Let a client wait, at the latest until it disconnects."""
    await request.body()  # the next message is the client's disconnect
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return


class _Server(uvicorn.Server):
    """A server that leaves signals to its caller: of two in one process only one would get them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


async def run(
    api_at: tuple[str, int],
    pages_at: tuple[str, int],
    folder: Path,
    certificates: SandboxCertificates,
    webhook: str | None = None,
) -> None:
    """Serve a stand-in until SIGINT or SIGTERM; from now on it sends webhooks to `webhook`.

    Raises:
        OSError: a port is taken.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with socket.create_server(api_at) as api, socket.create_server(pages_at) as pages:
        books = Books(folder / "books.sqlite")
        if webhook is not None:
            books.webhook = webhook
        sandbox = PixSandbox(books, certificates, f"http://127.0.0.1:{pages_at[1]}")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(sandbox.close)
            await serve(sandbox, certificates, api, pages, stop)


async def serve(
    sandbox: PixSandbox,
    certificates: SandboxCertificates,
    api: socket.socket,
    pages: socket.socket,
    stop: asyncio.Event,
) -> None:
    """Serve a stand-in's API and pages on two listening sockets until it is stopped."""
    servers = _servers_of(sandbox, certificates)
    serving = [
        asyncio.create_task(server.serve(sockets=[listener]))
        for server, listener in zip(servers, (api, pages), strict=True)
    ]
    await stop.wait()
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving)


def _servers_of(sandbox: PixSandbox, certificates: SandboxCertificates) -> tuple[uvicorn.Server, uvicorn.Server]:
    """Make the servers of the API, by mutual TLS, and of the pages."""
    common: dict[str, Any] = {
        "access_log": False,
        "log_config": None,
        "lifespan": "off",
        "ws": "none",
        "timeout_graceful_shutdown": 1,
    }
    api = uvicorn.Config(
        sandbox.api,
        ssl_certfile=certificates.provider.certificate,
        ssl_keyfile=str(certificates.provider.key),
        ssl_ca_certs=str(certificates.authority),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
        **common,
    )
    return _Server(api), _Server(uvicorn.Config(sandbox.pages, **common))
