"""Local servers for one command: PostgreSQL, Valkey (Redis protocol) and roto-aws (DynamoDB and S3).

Owns the child processes, the home folder (data, logs, passwords, lock, remembered ports) and the supervisor that
keeps servers and application processes alive. It knows nothing of the product; only the command line, tests and
benchmarks import it. A server that the operator replaces by a real one is not started.

Invariants:
    - One living owner per home: a second one gets ``HomeInUse``.
    - Servers listen on 127.0.0.1 only; PostgreSQL and Valkey ask for generated passwords kept in a 0600 file.
    - Nothing outlives its owner, not even after ``kill -9``: each child gets a signal when its parent dies or, where
      the kernel has no such signal, is ended by a guard process.
    - No process is ever signalled unless we hold its handle, or its recorded pid runs on our data folder.
    - Ports are kept between runs while they are free, and always while one owner lives.
    - PostgreSQL syncs to disk before it confirms a commit; Valkey's append-only file may lose its last second.
"""

from carteira.embedded.errors import BinaryMissing, EmbeddedError, HomeInUse, ServerFailed
from carteira.embedded.forks import ForkServer, ForkServerGone
from carteira.embedded.home import free_port
from carteira.embedded.postgres import SERVICE
from carteira.embedded.server import ServerReady
from carteira.embedded.servers import EmbeddedServers, Endpoints
from carteira.embedded.supervisor import AppProcess, Supervisor, SupervisorEvent

__all__ = [
    "SERVICE",
    "AppProcess",
    "BinaryMissing",
    "EmbeddedError",
    "EmbeddedServers",
    "Endpoints",
    "ForkServer",
    "ForkServerGone",
    "HomeInUse",
    "ServerFailed",
    "ServerReady",
    "Supervisor",
    "SupervisorEvent",
    "free_port",
]
