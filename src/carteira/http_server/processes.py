"""Several processes of one server: uvicorn supervises them; on Linux they are forked from the supervising process.

One import of the product serves them all: they start at once and share the memory of what was imported. The supervising
process has one thread, no event loop and no connection, which a fork would copy.
"""

import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors import multiprocess as supervising

from carteira.kit.ops import garbage

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

Target = Callable[[list[socket.socket]], None]
CAN_FORK = sys.platform == "linux"
"""On other systems, libraries do not survive a fork, and each process imports the product."""


LISTENERS = 8
"""The number of each process's listeners on the address.

The loop accepts one connection from each listener a turn, and under load a turn lasts milliseconds
(docs/adr/0007-fast-lane.md).
"""

logger = structlog.get_logger(__name__)


def listening_sockets(config: uvicorn.Config) -> list[socket.socket]:
    """Return the address bound once, as `LISTENERS` file descriptors; if processes are forked, only its reservation.

    With one socket for all processes, the one that wakes first takes the connections, sometimes all of them. Linux
    spreads them evenly over sockets that share the address; elsewhere they are not spread, and one socket is used.

    The supervising process reserves the address and does not listen on it, so that only processes of this user may
    listen there, and no connection goes to a process that does not answer.
    """
    if config.workers > 1 and CAN_FORK:
        reserved = _bound(config.host, config.port)
        logger.info("listening", host=config.host, port=reserved.getsockname()[1], processes=config.workers)
        return [reserved]
    return _doubled(config.bind_socket())


def supervise(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    """Run the processes until SIGTERM or SIGINT, and replace each that ends or hangs.

    If they are forked, the caller has imported what they serve.
    """
    if CAN_FORK:
        garbage.freeze()
        supervising.get_subprocess = _forked  # type: ignore[assignment, attr-defined] # uvicorn's own would import everything again
    Multiprocess(config, sockets).run()


def _forked(config: uvicorn.Config, target: Target, sockets: list[socket.socket]) -> "ForkProcess":
    return multiprocessing.get_context("fork").Process(target=_begin, args=(config, target, sockets))


def _begin(config: uvicorn.Config, target: Target, sockets: list[socket.socket]) -> None:
    """Serve in a forked process, which neither handles its parent's signals nor listens on its sockets."""
    for number in supervising.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    [reserved] = sockets
    host, port = reserved.getsockname()[:2]
    reserved.close()
    config.configure_logging()
    target(_doubled(_bound(host, port)))


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    return bound


def _doubled(bound: socket.socket) -> list[socket.socket]:
    return [bound, *(bound.dup() for _ in range(LISTENERS - 1))]
