"""Three machines with etcd, Patroni and PostgreSQL, by the configuration in deploy/ha/, each a loopback address."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg

from carteira import schema
from carteira.embedded import SERVICE, free_port, process
from carteira.embedded.placement import namespace_works
from carteira.embedded.postgres import BACKUP, EXTENSIONS
from tests.support.clusters import programs
from tests.support.server import PLAIN
from tests.support.source import ROOT
from tests.support.waiting import wait_until

CONFIGURATION = ROOT / "deploy" / "ha"
LIBRARY = Path(sys.prefix) / "patroni"
PATH = "/usr/sbin:/usr/bin:/bin"
ADDRESSES = ("127.0.27.2", "127.0.27.3", "127.0.27.4")
PASSWORD = "senha-do-postgresql"
START_SECONDS = 90.0
DISKS = {"wal": 384, "disk": 1024}
"""The small disks of a machine, where they may be filled: of the log and of the data, in MiB."""
MISSING = [
    *([] if shutil.which("etcd", path=PATH) else ["etcd (apt-get install etcd-server)"]),
    *([] if (LIBRARY / "patroni").is_dir() else ["Patroni (tests/support/patroni.lock)"]),
]


@dataclass(frozen=True)
class Ports:
    """The ports, equal on each machine."""

    etcd: int = field(default_factory=free_port)
    peer: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)
    postgres: int = field(default_factory=free_port)


class Machine:
    """One of the three machines: its etcd, its Patroni and its PostgreSQL."""

    def __init__(self, folder: Path, address: str, ports: Ports, run_as: process.RunAs) -> None:
        self.folder = folder
        self.address = address
        self.ports = ports
        self.run_as = run_as
        self.name = f"m{address.rpartition('.')[2]}"
        self.data = folder / "disk" / "data"
        self.wal = folder / "wal" / "pg_wal"
        self.etcd: subprocess.Popen[bytes] | None = None
        self.patroni: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "disk").mkdir()
        (folder / "wal").mkdir()

    def write(self, template: str) -> str:
        """Return a file of the configuration with this machine's addresses."""
        text = (CONFIGURATION / template).read_text()
        values = {
            "name": self.name,
            "address": self.address,
            "etcd-port": self.ports.etcd,
            "peer-port": self.ports.peer,
            "api-port": self.ports.api,
            "port": self.ports.postgres,
            "members": ",".join(f"m{one[-1]}=http://{one}:{self.ports.peer}" for one in ADDRESSES),
            "etcd-hosts": ",".join(f"{one}:{self.ports.etcd}" for one in ADDRESSES),
            "programs": programs(),
            "data-folder": self.data,
            "wal-folder": self.wal,
            "password": PASSWORD,
            "network": "127.0.0.0/8",
            "memory": "64MB",
            "slot-size": "64MB",
            "folder": self.folder if template == "patroni.yml" else self.folder / "etcd",
        }
        for word, value in values.items():
            text = text.replace(f"<{word}>", str(value))
        assert "<" not in text.replace("<…>", ""), text
        return text

    def start_etcd(self) -> None:
        lines = [line for line in self.write("etcd.env").splitlines() if line and not line.startswith("#")]
        self.etcd = process.spawn(
            [str(shutil.which("etcd", path=PATH))],
            cwd=self.folder,
            env={**process.server_environment(), **dict(line.split("=", 1) for line in lines)},
            log=self.folder / "etcd.log",
        )

    def start_patroni(self) -> None:
        file = self.folder / "patroni.yml"
        file.write_text(self.write("patroni.yml"))
        self.patroni = process.spawn(
            [sys.executable, "-m", "patroni", str(file)],
            run_as=self.run_as,
            cwd=self.folder,
            env={**process.server_environment(), "PYTHONPATH": str(LIBRARY), "HOME": str(self.folder)},
            log=self.folder / "patroni.log",
        )

    def start(self) -> None:
        self.start_etcd()
        self.start_patroni()

    def postgres_pids(self) -> list[int]:
        """Return every process of this machine's PostgreSQL."""
        return process.pids_working_in(self.data, "postgres")

    def kill_postgres(self) -> None:
        """Kill PostgreSQL, as a crash would."""
        while pids := self.postgres_pids():
            for pid in pids:
                process.signal_pid(pid, signal.SIGKILL)

    def kill_etcd(self) -> None:
        _kill(self.etcd)

    def kill_patroni(self) -> None:
        """Kill Patroni and PostgreSQL; etcd lives."""
        _kill(self.patroni)
        self.kill_postgres()

    def kill(self) -> None:
        """Kill everything on this machine at once, as a power failure would."""
        self.kill_patroni()
        _kill(self.etcd)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to everything on this machine."""
        for running in (self.patroni, self.etcd):
            if running is not None:
                running.send_signal(number)
        for pid in [*self.postgres_pids(), *self.postgres_pids()]:  # once more: a process may have started meanwhile
            process.signal_pid(pid, number)

    def log(self) -> str:
        """Return the last lines of its logs."""
        ends = [f"{file}:\n{file.read_text()[-3000:]}" for file in sorted(self.folder.glob("*.log"))]
        return "\n".join(ends)


def _kill(running: "subprocess.Popen[bytes] | None") -> None:
    if running is not None and running.poll() is None:
        running.kill()
    if running is not None:
        running.wait()


@dataclass
class Trio:
    """The three machines."""

    machines: dict[str, Machine]
    ports: Ports

    def url(self, user: str, database: str = "carteira", **options: str) -> str:
        """Return the address of a database by all three hosts."""
        hosts = ",".join(f"{address}:{self.ports.postgres}" for address in self.machines)
        asked = {"target_session_attrs": "read-write", "connect_timeout": "2", **options}
        query = "&".join(f"{name}={quote(value)}" for name, value in asked.items())
        return f"postgresql://{user}:{PASSWORD}@{hosts}/{database}?{query}"

    @property
    def service_url(self) -> str:
        return self.url(SERVICE)

    @property
    def owner_url(self) -> str:
        return self.url("carteira")

    @property
    def backup_url(self) -> str:
        return self.url(BACKUP)

    def members(self) -> list[dict[str, Any]]:
        """Return a Patroni's report about all machines; empty while none answers."""
        for address in self.machines:
            with contextlib.suppress(httpx.TransportError, ValueError, KeyError):
                answer = httpx.get(f"http://{address}:{self.ports.api}/cluster", timeout=2, verify=PLAIN)
                members: list[dict[str, Any]] = answer.json()["members"]
                return members
        return []

    def leader(self) -> Machine | None:
        """Return the machine that leads, if one does."""
        for member in self.members():
            if member["role"] == "leader" and member["state"] == "running":
                return self.machines[member["host"]]
        return None

    def replicas(self) -> list[Machine]:
        """Return the machines that follow, the synchronous one first."""
        members = sorted(self.members(), key=lambda member: str(member["role"]) != "sync_standby")
        return [self.machines[member["host"]] for member in members if member["role"] != "leader"]

    def own_status(self, machine: Machine) -> dict[str, Any]:
        """Return a machine's Patroni's report about its own PostgreSQL; empty while it does not answer."""
        with contextlib.suppress(httpx.TransportError, ValueError):
            answer = httpx.get(f"http://{machine.address}:{self.ports.api}/patroni", timeout=2, verify=PLAIN)
            told: dict[str, Any] = answer.json()
            return told
        return {}

    def is_whole(self) -> bool:
        """Return whether all three run in step, one of them synchronously, and etcd has its majority.

        Each machine is asked itself: what others report about one that died or stood still may be out of date.
        """
        told = [self.own_status(machine) for machine in self.machines.values()]
        leaders = [one for one in told if one.get("role") == "primary" and one["state"] == "running"]
        followers = [one for one in told if one.get("replication_state") == "streaming" and one["state"] == "running"]
        if (len(leaders), len(followers)) != (1, 2) or len({one.get("timeline") for one in told}) != 1:
            return False
        names = {machine.name for machine in self.machines.values()}  # backups replicate too
        following = sorted(
            one["sync_state"]
            for one in leaders[0].get("replication", ())
            if one["state"] == "streaming" and one["application_name"] in names
        )
        return (
            following == ["async", "sync"]
            and any(member["role"] == "sync_standby" for member in self.members())
            and all(self.etcd_status(one) for one in self.machines)
        )

    def etcd_status(self, address: str) -> dict[str, Any] | None:
        """Return an etcd's report about itself; None if it does not answer."""
        with contextlib.suppress(httpx.TransportError, ValueError):
            url = f"http://{address}:{self.ports.etcd}/v3/maintenance/status"
            asked = httpx.post(url, json={}, timeout=2, verify=PLAIN)
            if asked.status_code == 200:
                told: dict[str, Any] = asked.json()
                return told
        return None

    def etcd_leader(self) -> Machine:
        """Return the machine whose etcd leads."""
        for address, machine in self.machines.items():
            told = self.etcd_status(address)
            if told is not None and told["leader"] == told["header"]["member_id"]:
                return machine
        raise AssertionError("no etcd leads")

    def wait_until_whole(self) -> None:
        try:
            wait_until(self.is_whole, "the three machines are in step", START_SECONDS)
        except AssertionError as error:
            logs = "\n".join(machine.log() for machine in self.machines.values())
            raise AssertionError(f"{error}: {self.members()}\n{logs}") from None

    def provision(self) -> None:
        """Make roles and the database, and migrate it, as an operator does."""
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            for role in ("carteira", SERVICE):
                connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
            connection.execute(f"CREATE ROLE {BACKUP} LOGIN REPLICATION PASSWORD '{PASSWORD}'")
            connection.execute(f"GRANT pg_read_all_data TO {BACKUP}")
            connection.execute("CREATE DATABASE carteira OWNER carteira")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for extension in EXTENSIONS:
                connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
        schema.migrate(self.owner_url)
        schema.grant(self.owner_url, SERVICE)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """Mount a small disk at a folder, so that a test can fill it; needs root."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "carteira-test", str(folder)]
    subprocess.run(command, check=True, env={"PATH": PATH})
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, env={"PATH": PATH})


@contextmanager
def running_trio(folder: Path, restored: Path | None = None) -> Iterator[Trio]:
    """Run the three machines until the end of the block, however it ends; then stop everything.

    Args:
        folder: Where they lie.
        restored: A data folder of another PostgreSQL, from which they begin; without it they begin empty.
    """
    folder.mkdir(exist_ok=True)
    ports = Ports()
    run_as: process.RunAs = "same"
    if os.geteuid() == 0:
        assert namespace_works(programs() / "postgres", folder), "PostgreSQL cannot run as root without namespaces"
        run_as = "namespace"
    machines = {address: Machine(folder / address, address, ports, run_as) for address in ADDRESSES}
    trio = Trio(machines, ports)
    with ExitStack() as stack:
        for machine in machines.values():
            if os.geteuid() == 0:
                for name, mebibytes in DISKS.items():
                    stack.enter_context(small_disk(machine.folder / name, mebibytes))
            stack.callback(machine.kill)
        for machine in machines.values():
            machine.start_etcd()
        first, *others = machines.values()
        if restored is not None:
            shutil.move(restored, first.data)
        first.start_patroni()
        wait_until(lambda: trio.leader() is first, "the first machine leads", START_SECONDS)
        for machine in others:
            machine.start_patroni()
        trio.wait_until_whole()
        if restored is None:
            trio.provision()
        yield trio
