"""The HTTP server: uvicorn with uvloop and httptools, one process or several."""

import importlib
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from uvicorn.supervisors import ChangeReload

from carteira.http_server.processes import listening_sockets, supervise
from carteira.kit.ops import garbage, log
from carteira.settings import Settings

HANGS_SECONDS = 10
"""A process that is silent for so many seconds is replaced: its import takes seconds on a busy machine.

While the server waits for one, it cannot stop.
"""
START_FAILED = 3
OTHER_FILES = 1024
"""The number of descriptors for purposes other than clients' connections."""
PACKAGE = Path(__file__).parents[1]

logger = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; running requests are finished first, new connections refused.

    Raises `SystemExit` with 3 when the address is taken or the application cannot start.
    """
    log.configure(level=settings.log_level, form=settings.log_format)
    _allow_files(settings.max_connections + OTHER_FILES)
    config = uvicorn.Config(
        "carteira.http_server.server:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=None if settings.debug else settings.workers,
        reload=settings.debug,
        reload_dirs=[str(PACKAGE)] if settings.debug else None,
        loop="uvloop",
        http="carteira.http_server.protocol:LaneProtocol",  # uvicorn's httptools protocol and the authorizer's lane
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # `kit.web.client_address` reads them, if they come from the trusted proxies
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
        timeout_worker_healthcheck=HANGS_SECONDS,
    )
    server = uvicorn.Server(config)
    sockets = listening_sockets(config)
    with suppress(KeyboardInterrupt):
        if config.should_reload:
            ChangeReload(config, target=server.run, sockets=sockets).run()
        elif config.workers > 1:
            supervise(config, sockets)
        else:
            server.run(sockets=sockets)
            if not server.started:
                sys.exit(START_FAILED)


def application() -> Any:  # noqa: ANN401 - this package does not know the product's application
    """Import the product and make its application from the environment, in each process that serves it."""
    garbage.rest_while_starting()
    return importlib.import_module("carteira.app").from_environment()


def _allow_files(count: int) -> None:
    """Raise the number of files that this process and its children may open, as far as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < count:
        logger.warning("limit of open files too low for MAX_CONNECTIONS", files=wanted)
