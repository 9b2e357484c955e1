"""Two machines with one PostgreSQL, Redis and S3: they serve as one, or the second does not start.

A machine is a home folder with its own keys, and a loopback address. A machine finds the others by the processes that
serve from the same database.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from carteira.embedded import EmbeddedServers, Endpoints
from carteira.settings.limits import LIMITS
from tests.support.commands import run_command
from tests.support.databases import NewDatabase
from tests.support.files import png
from tests.support.people import new_person
from tests.support.server import Server, running_server
from tests.support.waiting import wait_until
from tests.support.worker import Worker, running_worker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SECRET = "0123456789abcdef0123456789abcdef"  # of a test
NO_LIMITS = {
    f"{what}_{name}": "none" for name in LIMITS for what in ("limit", "daily") if (what, name) != ("daily", "tiers")
}


def run(home: Path, settings: dict[str, object], *words: str) -> tuple[int, str]:
    done = run_command(home, settings, *words)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def other_redis(tmp_path: Path) -> Iterator[str]:
    """The second machine's own Valkey, which runs before anybody serves."""
    with EmbeddedServers(tmp_path / "other", postgres=False, aws=False) as servers:
        yield servers.endpoints.redis_url


@pytest.fixture
def machines(endpoints: Endpoints, new_database: NewDatabase, tmp_path: Path) -> list[dict[str, object]]:
    """The settings of two machines of a staging installation, with keys that differ."""
    shared = NO_LIMITS | {
        "environment": "staging",
        "carteira_modules": "documents",
        "database_url": new_database(f"machines_{uuid4().hex[:8]}"),
        "database_one_role": "true",
        "redis_url": endpoints.redis_url,
        "aws_endpoint_url": endpoints.aws_endpoint_url,
        "documents_url": f"s3://machines-{uuid4().hex[:8]}",
        "malware_scan": "off",
        "smtp_url": endpoints.smtp_url,
        "mail_only_to": "exemplo.com.br",
        "jwt_secret": SECRET,
        "public_url": "https://carteira.example",
        "trusted_proxies": "none",
        "metrics_open": "true",
        "docs_open": "false",
    }
    made: list[dict[str, object]] = []
    for number in (2, 3):
        home = tmp_path / f"machine-{number}"
        home.mkdir()
        made.append(
            shared
            | {
                "carteira_home": home,
                "host": f"127.0.0.{number}",
                "worker_host": f"127.0.0.{number}",
                "access_token_key_file": home / "keys" / "access-token.pem",
                "identity_key_file": home / "keys" / "identity.key",
                "documents_key_file": home / "keys" / "documents.json",
            }
        )
        assert run(home, made[-1], "keys", "init")[0] == 0
    return made


def test_two_folders_of_documents_are_two_places(machines: list[dict[str, object]]) -> None:
    """A folder belongs to one machine, and a machine may have several: who serves from another one is refused."""
    first, second = machines
    shutil.copytree(home_of(first) / "keys", home_of(second) / "keys", dirs_exist_ok=True)
    own, other = (home_of(machine) / "files" for machine in machines)
    for folder in (own, other):
        folder.mkdir()
    kept = first | {"documents_url": own.as_uri()}
    with running_server(home_of(first), workers=1, **kept):
        code, said = run(home_of(second), second | {"documents_url": other.as_uri()}, "worker")
        assert code == 1
        assert "DOCUMENTS_URL: o processo em 127.0.0.1 guarda documentos em outro lugar" in " ".join(said.split())
        told = " ".join(run(home_of(second), second | {"documents_url": own.as_uri()}, "doctor")[1].split())
        assert "DOCUMENTS_URL: o processo em" not in told, "the same folder is the same place"


def home_of(machine: dict[str, object]) -> Path:
    return Path(str(machine["carteira_home"]))


def signed_in(server: Server, person: dict[str, str]) -> dict[str, str]:
    form = {"username": person["cpf"], "password": person["password"]}
    answer = httpx.post(f"{server.url}/auth/login", data=form, timeout=30)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def check_refusals(second: dict[str, object], other_redis: str, first: dict[str, object]) -> None:
    """Start the second machine with one difference after another from the first; each start must fail."""
    code, said = run(home_of(second), second, "serve")
    assert code == 1
    for name in ("ACCESS_TOKEN_KEY_FILE", "IDENTITY_KEY_FILE", "DOCUMENTS_KEY_FILE"):
        assert f"{name}: o processo em 127.0.0.1 usa uma chave que não está em" in said.replace("\n", "")
    shutil.copytree(home_of(first) / "keys", home_of(second) / "keys", dirs_exist_ok=True)
    (home_of(second) / "files").mkdir()
    for command, wrong, sentence in (
        ("serve", {"jwt_secret": SECRET[::-1]}, "JWT_SECRET: o processo em 127.0.0.1 assina com outro segredo"),
        ("worker", {"redis_url": other_redis}, "REDIS_URL: o processo em 127.0.0.1 usa outro Redis"),
        ("serve", {"documents_url": (home_of(second) / "files").as_uri()}, "DOCUMENTS_URL: o processo em 127.0.0.1"),
        ("worker", {"documents_url": "s3://another"}, "DOCUMENTS_URL: o processo em 127.0.0.1"),
    ):
        code, said = run(home_of(second), second | wrong, command)
        assert (code, sentence in said) == (1, True), said
    said = " ".join(run(home_of(second), second | {"jwt_secret": SECRET[::-1]}, "doctor")[1].split())
    assert "assina com outro segredo" in said


def they_serve_as_one(one: Server, two: Server) -> None:
    """Register at one, sign in at the other, and continue at either."""
    person = new_person()
    assert httpx.post(f"{one.url}/users/register", json=person, timeout=30).status_code == 201
    headers = signed_in(two, person)
    form = {"document_type": "CNH", "document_number": "62472927637"}
    kept = httpx.post(
        f"{one.url}/documents", data=form, files={"file": ("cnh.png", png())}, headers=headers, timeout=30
    )
    assert kept.status_code == 201, kept.text
    link = httpx.post(f"{two.url}/documents/{kept.json()['id']}/link", headers=headers, timeout=30).json()["url"]
    path = httpx.URL(link).raw_path.decode()
    assert httpx.get(f"{two.url}{path}", timeout=30).content == httpx.get(f"{one.url}{path}", timeout=30).content
    assert httpx.get(f"{one.url}/users/me", headers=headers, timeout=30).status_code == 200
    assert httpx.delete(f"{two.url}/auth/sessions", headers=headers, timeout=30).status_code == 204
    assert httpx.get(f"{one.url}/users/me", headers=headers, timeout=30).status_code == 401, "one notifies the other"


def test_two_machines_serve_as_one_and_others_settings_are_refused(
    machines: list[dict[str, object]], other_redis: str
) -> None:
    first, second = machines

    def works(worker: Worker) -> bool:
        answer = worker.get("/health/ready")
        return answer is not None and answer.status_code == 200

    with running_server(home_of(first), workers=1, **first) as one, running_worker(home_of(first), **first) as worker:
        wait_until(lambda: works(worker), "the first worker", 60)
        check_refusals(second, other_redis, first)
        with (
            running_server(home_of(second), workers=1, **second) as two,
            running_worker(home_of(second), **second) as also,
        ):
            assert (one.url[:16], two.url[:16]) == ("http://127.0.0.2", "http://127.0.0.3")
            wait_until(lambda: works(also), "the second worker", 60)
            they_serve_as_one(one, two)
            said = " ".join(run(home_of(second), second, "doctor")[1].split())
            assert "as mesmas chaves e lugares dos processos em (127.0.0.1)" in said
