"""Where the provider calls to tell of payments: a listener of its own, which lets nobody in without its certificate."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown, OperationInProgress
from carteira.kit.values.exact_json import parse_strict_json
from carteira.payments import metrics, receiving
from carteira.payments.config import ListenerConfig, PaymentsConfig

MAX_BODY_BYTES = 1_048_576
GRACE_SECONDS = 2
IDLE_SECONDS = 30
MOST_AT_ONCE = 100
TAKEN, MALFORMED, FORBIDDEN, _TOO_LARGE, _DOWN = 200, 422, 403, 413, 503

log = structlog.get_logger(__name__)


async def taken(database: Database, config: PaymentsConfig, body: bytes, signature: str) -> int:
    """Take a call whose sender is known by certificate, and by signature where one is asked for; give the status."""
    if config.signature is not None and not receiving.is_signed(body, signature, config.signature[1]):
        metrics.told_total.labels("refused").inc()
        return FORBIDDEN
    try:
        content = parse_strict_json(body)
        async with database.transaction() as tx:
            await receiving.hear(tx, content)
    except ValueError:
        metrics.told_total.labels("malformed").inc()
        return MALFORMED
    metrics.told_total.labels("taken").inc()
    return TAKEN


def application(database: Database, config: PaymentsConfig) -> Starlette:
    """Make the application of the listener: it answers one question, at any path that ends in `/pix`."""

    async def hear(request: Request) -> Response:
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    return Response(status_code=_TOO_LARGE)
            header = config.signature[0] if config.signature else ""
            return Response(status_code=await taken(database, config, bytes(body), request.headers.get(header, "")))
        except ClientDisconnect:
            return Response(status_code=MALFORMED)
        except (DatabaseDown, OperationInProgress):  # the provider calls again, and the list has it anyhow
            return Response(status_code=_DOWN)

    return Starlette(routes=[Route("/pix", hear, methods=["POST"]), Route("/{path:path}/pix", hear, methods=["POST"])])


class _Server(uvicorn.Server):
    """A server that leaves signals to the worker, which stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


def _bind(config: ListenerConfig) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((config.host, config.port))
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
            ssl_certfile=where.certificate,
            ssl_keyfile=str(where.key),
            ssl_ca_certs=str(where.authority),
            ssl_cert_reqs=ssl.CERT_REQUIRED,
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
    bound = _bind(where)
    log.info("listening for the payment provider", host=where.host, port=bound.getsockname()[1])
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="payments")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
