"""The HTTP server: uvicorn with uvloop and httptools, one process or several."""

import uvicorn

from carteira.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first, new connections refused."""
    uvicorn.run(
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
