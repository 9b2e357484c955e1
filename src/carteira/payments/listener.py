"""The listener for the provider's webhooks, which accepts only the provider's certificate."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown, OperationInProgress
from carteira.kit.values.exact_json import parse_lenient_json
from carteira.payments import metrics, receiving
from carteira.payments.config import ListenerConfig, PaymentsConfig

MAX_BODY_BYTES = 1_048_576
GRACE_SECONDS = 2
IDLE_SECONDS = 30
MOST_AT_ONCE = 100
MOST_HANDSHAKES = 50
HANDSHAKE_SECONDS = 5.0
"""The longest TLS handshake. Connections without a verified certificate may be anybody's, so only a few are accepted at
a time; the rest wait in the kernel, since the worker needs this process's files.
"""
ACCEPT_AGAIN_SECONDS = 1.0
TAKEN, MALFORMED, FORBIDDEN, _TOO_LARGE, _DOWN = 200, 422, 403, 413, 503

log = structlog.get_logger(__name__)


async def handle_call(database: Database, config: PaymentsConfig, body: bytes, signature: str) -> int:
    """Handle a call that is authenticated by certificate, and by signature if configured; return the status."""
    if config.signature is not None and not receiving.is_signed(body, signature, config.signature[1]):
        metrics.told_total.labels("refused").inc()
        return FORBIDDEN
    try:
        content = parse_lenient_json(body)
        async with database.transaction() as tx:
            await receiving.queue_announced(tx, content)
    except ValueError:
        metrics.told_total.labels("malformed").inc()
        return MALFORMED
    metrics.told_total.labels("taken").inc()
    return TAKEN


def application(database: Database, config: PaymentsConfig) -> Starlette:
    """Return the listener's application: one route, at any path that ends in `/pix`."""

    async def receive(request: Request) -> Response:
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    return Response(status_code=_TOO_LARGE)
            header = config.signature[0] if config.signature else ""
            return Response(
                status_code=await handle_call(database, config, bytes(body), request.headers.get(header, ""))
            )
        except ClientDisconnect:
            return Response(status_code=MALFORMED)
        except (DatabaseDown, OperationInProgress):  # the provider calls again, and polling finds it too
            return Response(status_code=_DOWN)

    return Starlette(
        routes=[Route("/pix", receive, methods=["POST"]), Route("/{path:path}/pix", receive, methods=["POST"])]
    )


class _Server(uvicorn.Server):
    """A server that leaves signals to the worker, which stops it and passes it connections."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


def _bind(config: ListenerConfig) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((config.host, config.port))
    bound.listen()
    bound.setblocking(False)
    return bound


@asynccontextmanager
async def listening(database: Database, config: PaymentsConfig) -> AsyncIterator[None]:
    """Listen for as long as the block lasts, if the settings say so.

    Raises:
        OSError: the address is taken, or a file cannot be read.
    """
    where = config.listener
    if where is None:
        yield
        return
    server = _Server(
        uvicorn.Config(
            application(database, config),
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=MOST_AT_ONCE,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    tls = tls_of(where)
    server.config.load()
    with _bind(where) as bound:
        log.info("listening for the payment provider", host=where.host, port=bound.getsockname()[1])
        serving = asyncio.create_task(server.serve(sockets=[]), name="payments")
        taking = asyncio.create_task(_accept_connections(bound, server, tls), name="payments' connections")
        try:
            yield
        finally:
            taking.cancel()
            with suppress(asyncio.CancelledError):
                await taking
            server.should_exit = True
            await serving


def tls_of(where: ListenerConfig) -> ssl.SSLContext:
    """Return the TLS context: our certificate and the trusted authority.

    Raises:
        OSError: a file cannot be read, or is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(where.certificate, where.key)
    context.load_verify_locations(where.authority)
    return context


async def _accept_connections(bound: socket.socket, server: uvicorn.Server, tls: ssl.SSLContext) -> None:
    """Pass connections to a server once their TLS handshake is verified, until cancelled."""
    loop, turns = asyncio.get_running_loop(), asyncio.Semaphore(MOST_HANDSHAKES)

    made_by: Callable[..., asyncio.Protocol] = server.config.http_protocol_class
    protocol = partial(made_by, config=server.config, server_state=server.server_state, app_state={})

    async def handshake(connection: socket.socket) -> None:
        try:
            await loop.connect_accepted_socket(protocol, connection, ssl=tls, ssl_handshake_timeout=HANDSHAKE_SECONDS)
        except OSError:  # TLS errors and time-outs; strangers must not fill the log
            metrics.told_total.labels("refused").inc()
        finally:
            turns.release()

    async with asyncio.TaskGroup() as handshakes:
        while True:
            await turns.acquire()
            try:
                connection, _ = await loop.sock_accept(bound)
            except OSError as error:
                turns.release()
                log.warning("connection not accepted", error=type(error).__name__, detail=str(error))
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
            else:
                handshakes.create_task(handshake(connection))
