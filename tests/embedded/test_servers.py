import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from carteira.embedded import EmbeddedServers, Endpoints, HomeInUse, ServerFailed, ServerReady, free_port

from .conftest import Owner, is_alive

pytestmark = pytest.mark.integration


def signed_for(service: str) -> dict[str, str]:
    credential = f"Credential=test/20260101/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"}


def write(endpoints: Endpoints, text: str) -> None:
    with psycopg.connect(endpoints.owner_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        connection.execute("INSERT INTO kept VALUES (%s)", (text,))
    with closing(redis.Redis.from_url(endpoints.redis_url)) as client:
        client.set("kept", text)
    httpx.put(f"{endpoints.aws_endpoint_url}/kept", headers=signed_for("s3")).raise_for_status()
    address = f"{endpoints.aws_endpoint_url}/kept/text"
    httpx.put(address, headers=signed_for("s3"), content=text).raise_for_status()


def rows(endpoints: Endpoints) -> list[str]:
    with psycopg.connect(endpoints.owner_url) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM kept ORDER BY text").fetchall()]


def assert_kept(endpoints: Endpoints, text: str) -> None:
    assert rows(endpoints) == [text]
    with closing(redis.Redis.from_url(endpoints.redis_url)) as client:
        assert client.get("kept") == text.encode()
    assert httpx.get(f"{endpoints.aws_endpoint_url}/kept/text", headers=signed_for("s3")).text == text


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with EmbeddedServers(tmp_path_factory.mktemp("home")) as started:
        yield started


def test_cold_start_stop_and_warm_start_keep_data_and_ports_under_a_closed_parent(tmp_path: Path) -> None:
    parent = tmp_path / "só minha ' pasta"
    parent.mkdir(mode=0o700)
    told: list[ServerReady] = []
    with EmbeddedServers(parent / "home", on_ready=told.append) as servers:
        first = servers.endpoints
        write(first, "antes")
        pids = [servers.postgres.pid, servers.redis.pid, servers.aws.pid]
    assert {ready.name for ready in told} == {"postgres", "redis", "aws"}
    assert any(str(ready).startswith("PostgreSQL 18.6 pronto em 127.0.0.1:") for ready in told)
    assert not any(is_alive(pid) for pid in pids if pid)
    assert not (parent / "home" / "postgres" / "postmaster.pid").exists(), "PostgreSQL was not shut down cleanly"

    with EmbeddedServers(parent / "home") as servers:
        assert servers.endpoints == first
        assert_kept(first, "antes")


def test_database_belongs_to_a_plain_role_and_has_the_extensions(servers: EmbeddedServers) -> None:
    with psycopg.connect(servers.endpoints.owner_url) as connection:
        connection.execute("CREATE EXTENSION citext")  # a trusted one
        role = connection.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        found = {name for (name,) in connection.execute("SELECT extname FROM pg_extension").fetchall()}
    with psycopg.connect(servers.endpoints.superuser_url) as connection:
        settings = connection.execute(
            "SELECT current_setting('is_superuser'), current_setting('fsync'),"
            " current_setting('synchronous_commit'), current_setting('timezone'),"
            " current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        ).fetchone()
    assert role == ("carteira", False)
    assert found >= {"pg_trgm", "unaccent", "btree_gist", "vector"}
    assert settings == ("on", "on", "on", "UTC", "127.0.0.1", "")


def test_nobody_enters_without_the_password(servers: EmbeddedServers) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host="127.0.0.1", port=servers.postgres.port, user="postgres", password="x")
    with (
        closing(redis.Redis(port=servers.redis.port, retry=Retry(NoBackoff(), 0))) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_passwords_are_private_and_on_no_command_line(servers: EmbeddedServers) -> None:
    home = Path(servers.postgres.log).parents[1]
    assert stat.S_IMODE((home / "credentials.json").stat().st_mode) == 0o600
    assert not list(home.glob("*.password"))
    password = servers.endpoints.redis_url.partition(":")[2].partition("@")[0].removeprefix("//:")
    command_line = Path(f"/proc/{servers.redis.pid}/cmdline").read_bytes()
    assert len(password) >= 32
    assert password.encode() not in command_line


def test_dynamodb_and_s3_answer_on_one_endpoint(servers: EmbeddedServers) -> None:
    headers = {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Content-Type": "application/x-amz-json-1.0"}
    url = servers.endpoints.aws_endpoint_url
    assert httpx.post(url, headers=headers | signed_for("dynamodb"), content="{}").json() == {"TableNames": []}
    assert "ListAllMyBucketsResult" in httpx.get(url, headers=signed_for("s3")).text


def test_second_owner_is_refused_and_reads_who_the_first_is(servers: EmbeddedServers) -> None:
    with pytest.raises(HomeInUse, match=rf"já está em uso pelo processo {os.getpid()}\b"):
        EmbeddedServers(Path(servers.postgres.log).parents[1]).start()


def test_killed_postgres_is_noticed_and_recovers_on_its_port(servers: EmbeddedServers) -> None:
    with psycopg.connect(servers.endpoints.owner_url) as connection:
        connection.execute("CREATE TABLE committed AS SELECT 1 AS n")
    with psycopg.connect(servers.endpoints.owner_url, autocommit=True):  # a backend that must end first
        servers.postgres.kill()
        assert servers.watch() == ["postgres"]
        assert servers.restart("postgres").port == servers.postgres.port
    assert servers.watch() == []
    with psycopg.connect(servers.endpoints.owner_url) as connection:
        assert connection.execute("SELECT n FROM committed").fetchone() == (1,)


def test_stopped_server_starts_again_on_its_port_and_is_not_called_dead(servers: EmbeddedServers) -> None:
    port = servers.redis.port
    servers.redis.stop()
    assert servers.watch() == []
    assert servers.redis.start().port == port


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_servers_die_with_their_owner_and_the_next_start_recovers(
    tmp_path: Path, own: Callable[..., Owner], number: signal.Signals
) -> None:
    started = own("hold", str(tmp_path))
    answer = started.read()
    pids = answer.pop("pids")
    endpoints = Endpoints(**answer)
    write(endpoints, "antes")
    with pytest.raises(HomeInUse, match=f"pelo processo {started.process.pid}"):
        EmbeddedServers(tmp_path).start()

    assert started.end(number) == -number
    with EmbeddedServers(tmp_path) as servers:  # at once, while the former servers still shut down
        assert servers.endpoints == endpoints
        assert_kept(endpoints, "antes")
        assert not any(is_alive(int(pid)) for pid in pids)


def test_pid_file_that_names_a_stranger_is_no_obstacle_and_the_stranger_lives(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, redis=False, aws=False) as servers:
        servers.postgres.kill()
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        pid_file = tmp_path / "postgres" / "postmaster.pid"
        lines = pid_file.read_text(encoding="utf-8").splitlines(keepends=True)
        pid_file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]), encoding="utf-8")
        with EmbeddedServers(tmp_path, redis=False, aws=False) as servers:
            assert servers.postgres.pid
        assert stranger.poll() is None
        stranger.kill()


def test_failed_start_says_why_in_portuguese_and_leaves_nothing_running(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, aws=False, postgres_settings={"no_such_setting": "1"})
    with pytest.raises(ServerFailed, match=r"(?s)PostgreSQL: terminou ao iniciar.*postgres\.log.*no_such_setting"):
        servers.start()
    assert servers.redis.pid is None
    with EmbeddedServers(tmp_path, redis=False, aws=False) as again:  # the home was released
        assert again.endpoints.redis_url == ""


def test_port_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, postgres=False, aws=False) as servers:
        port = servers.redis.port
    other = EmbeddedServers(tmp_path / "other", postgres=False, aws=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "state.json").write_text(f'{{"redis_port": {port}}}', encoding="utf-8")
    with other, EmbeddedServers(tmp_path, postgres=False, aws=False) as servers:
        assert other.redis.port == port
        assert servers.redis.port != port


def test_interrupted_start_leaves_nothing_running(tmp_path: Path) -> None:
    def interrupt(_ready: ServerReady) -> None:
        raise KeyboardInterrupt

    servers = EmbeddedServers(tmp_path, on_ready=interrupt)
    with pytest.raises(KeyboardInterrupt):
        servers.start()
    assert (servers.postgres.pid, servers.redis.pid, servers.aws.pid) == (None, None, None)


def test_servers_outlive_the_thread_that_started_them(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, postgres=False, aws=False)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(servers.start).result()
    try:
        with closing(redis.Redis.from_url(servers.endpoints.redis_url)) as client:
            assert client.ping()
        assert servers.watch() == []
    finally:
        servers.stop()


def test_a_free_port_is_no_clients() -> None:
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert all(free_port() < first for _ in range(100)), "a client cannot be connected to itself"
