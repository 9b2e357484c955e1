"""Outside of development nothing is served with bad keys or demo people; one command removes them."""

import asyncio
import subprocess
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from carteira import demo
from carteira.embedded import Endpoints
from carteira.settings.limits import LIMITS
from tests.support.commands import run_command
from tests.support.databases import NewDatabase
from tests.support.server import running_server

pytestmark = pytest.mark.integration


@pytest.fixture
def staging(endpoints: Endpoints, new_database: NewDatabase, tmp_path: Path) -> dict[str, object]:
    """The settings of a staging installation on the demo data; its keys do not exist yet."""
    url = new_database(f"staging_{uuid4().hex[:8]}")
    asyncio.run(demo.seed(url, {"benefits", "transit", "resellers"}))
    keys = tmp_path / "keys"
    limits = {
        f"{what}_{name}": "none" for name in LIMITS for what in ("limit", "daily") if (what, name) != ("daily", "tiers")
    }
    return limits | {
        "environment": "staging",
        "carteira_modules": "benefits,transit,resellers",
        "database_url": url,
        "database_one_role": "true",
        "redis_url": endpoints.redis_url,
        "smtp_url": endpoints.smtp_url,
        "mail_only_to": "exemplo.com.br",
        "jwt_secret": "0123456789abcdef0123456789abcdef",
        "access_token_key_file": keys / "access-token.pem",
        "identity_key_file": keys / "identity.key",
        "public_url": "https://carteira.example",
        "trusted_proxies": "none",
        "metrics_open": "true",
        "docs_open": "false",
        "recharge_without_payment": "false",
    }


def run(home: Path, settings: dict[str, object], *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_command(home, settings, *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.timeout(300)
def test_from_a_demo_database_to_a_server_that_starts(staging: dict[str, object], tmp_path: Path) -> None:
    for command in ("serve", "worker"):
        said = run(tmp_path, staging, command, code=1).stderr
        assert "ACCESS_TOKEN_KEY_FILE: " in said
        assert "IDENTITY_KEY_FILE: " in said
        assert "carteira keys init" in said
    assert not (tmp_path / "keys").exists(), "no key was made silently"
    run(tmp_path, staging, "keys", "init")
    (tmp_path / "keys" / "identity.key").chmod(0o644)
    assert "execute chmod 600" in run(tmp_path, staging, "serve", code=1).stderr
    (tmp_path / "keys" / "identity.key").chmod(0o600)
    for command in ("serve", "worker"):
        said = run(tmp_path, staging, command, code=1).stderr
        assert f"há {len(demo.PEOPLE)} pessoas de demonstração" in said
        assert "carteira seed --remove" in said
    assert "só existem em desenvolvimento" in run(tmp_path, staging, "seed", code=1).stderr
    assert "fora de desenvolvimento" in run(tmp_path, staging, "token", "--processor", code=1).stderr
    assert f"{len(demo.PEOPLE)} pessoas" in run(tmp_path, staging, "seed", "--remove").stderr
    assert "0 pessoas" in run(tmp_path, staging, "seed", "--remove").stderr
    assert "0 diferenças" in run(tmp_path, staging, "ledger", "reconcile").stdout
    with psycopg.connect(str(staging["database_url"])) as connection:
        left = connection.execute("SELECT count(*) FROM users WHERE email LIKE '%exemplo.com.br'").fetchone()
        owned = connection.execute("SELECT count(*) FROM ledger_accounts WHERE owner_id IS NOT NULL").fetchone()
    assert (left, owned) == ((0,), (0,))
    with running_server(tmp_path, workers=1, **staging) as server:
        form = {"username": demo.PERSON.email, "password": demo.PASSWORD}
        assert httpx.post(f"{server.url}/auth/login", data=form).status_code == 401
        for page in ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"):
            assert httpx.get(f"{server.url}{page}").status_code == 404, "DOCS_OPEN=false"
        assert "/docs" not in httpx.get(f"{server.url}/").text, "no other address leads there either"
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
