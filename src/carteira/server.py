"""The HTTP server: uvicorn with uvloop and httptools, one process or several."""

import socket
import sys
from contextlib import suppress

import uvicorn
from uvicorn.supervisors import ChangeReload, Multiprocess

from carteira.kit import log
from carteira.settings import Settings

LISTENERS = 8
"""Times that each process listens on the one address. The loop takes a connection from each listener a turn, and under
load a turn lasts milliseconds (docs/adr/0007-fast-lane.md)."""

START_FAILED = 3


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first, new connections refused.

    Raises `SystemExit` with 3 when the address is taken or the application cannot start.
    """
    log.configure(level=settings.log_level, form=settings.log_format)
    config = uvicorn.Config(
        "carteira.app:from_environment",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=None if settings.debug else settings.workers,
        reload=settings.debug,
        loop="uvloop",
        http="carteira.protocol:LaneProtocol",  # uvicorn's httptools protocol and the authorizer's lane
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
    )
    server = uvicorn.Server(config)
    sockets = listening_sockets(config)
    with suppress(KeyboardInterrupt):
        if config.should_reload:
            ChangeReload(config, target=server.run, sockets=sockets).run()
        elif config.workers > 1:
            Multiprocess(config, sockets=sockets).run()
        else:
            server.run(sockets=sockets)
            if not server.started:
                sys.exit(START_FAILED)


def listening_sockets(config: uvicorn.Config) -> list[socket.socket]:
    """The address bound once, as `LISTENERS` file descriptors."""
    bound = config.bind_socket()
    return [bound, *(bound.dup() for _ in range(LISTENERS - 1))]
