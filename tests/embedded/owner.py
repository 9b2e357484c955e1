"""A process that owns embedded servers, which tests kill: `owner.py hold|supervise HOME [APP_CODE]`."""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from carteira.embedded import AppProcess, EmbeddedServers, Supervisor, SupervisorEvent


def tell(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def hold(servers: EmbeddedServers) -> None:
    tell(**asdict(servers.endpoints), pids=[servers.postgres.pid, servers.redis.pid, servers.aws.pid])
    while True:
        signal.pause()


def supervise(servers: EmbeddedServers, app_code: str) -> None:
    def on_event(event: SupervisorEvent) -> None:
        tell(**asdict(event), redis_pid=servers.redis.pid)

    app = AppProcess("web", [sys.executable, "-c", app_code])
    Supervisor([app], servers, grace_seconds=0.5, on_event=on_event).run()


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        with EmbeddedServers(Path(sys.argv[2])) as all_servers:
            hold(all_servers)
    else:
        with EmbeddedServers(Path(sys.argv[2]), postgres=False, aws=False) as one_server:
            supervise(one_server, sys.argv[3])
