"""`carteira doctor` names what is wrong of an installation, and what to do; it changes nothing."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from carteira import demo
from carteira.doctor import machine
from carteira.doctor.database import clock_finding
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.settings import Settings
from tests.support.databases import NewDatabase, on_server
from tests.support.server import clean_environment

pytestmark = pytest.mark.integration

Doctor = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def url(new_database: NewDatabase) -> str:
    made = new_database("doctor")
    asyncio.run(demo.seed(made, ()))
    return made


@pytest.fixture
def doctor(endpoints: Endpoints, url: str, tmp_path: Path) -> Doctor:
    def run(*, code: int, **settings: object) -> list[dict[str, Any]]:
        usual: dict[str, object] = {
            "database_url": url,
            "redis_url": endpoints.redis_url,
            "aws_endpoint_url": endpoints.aws_endpoint_url,
            "smtp_url": endpoints.smtp_url,
        }
        done = subprocess.run(
            [sys.executable, "-m", "carteira", "doctor", "--json"],
            env=clean_environment(tmp_path / "home", **usual | settings),
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
        return findings

    return run


def of(findings: list[dict[str, Any]], area: str, *levels: str) -> list[str]:
    return [one["text"] for one in findings if one["area"] == area and one["level"] in levels]


def test_a_fresh_installation_is_well_and_stays_as_it_is(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(code=1)
    failed = [one["text"].partition(" ")[0] for one in found if one["level"] == "fail"]
    assert failed == ["fsync", "full_page_writes"], "the tests' own server forgets, so as to be fast"
    areas = {one["area"] for one in found}
    assert areas >= {"configuração", "máquina", "chaves", "postgresql", "relógio", "redis", "dynamodb", "e-mail"}
    assert any("migrações em dia" in text for text in of(found, "postgresql", "ok"))
    assert not (tmp_path / "home").exists(), "a look makes nothing"


def test_what_does_not_answer_is_named_and_the_rest_is_looked_at(doctor: Doctor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = doctor(
            code=1,
            database_url=f"postgresql://ana:n0venta7@127.0.0.1:{port}/banco",
            redis_url=f"redis://127.0.0.1:{port}/0",
            smtp_url=f"smtp://127.0.0.1:{port}",
            sms_url=f"http://127.0.0.1:{port}/send",
            malware_scan="required",
            clamd_url=f"tcp://127.0.0.1:{port}",
        )
    assert "não foi possível falar com o PostgreSQL" in of(found, "postgresql", "fail")[0]
    assert [len(of(found, area, "fail")) for area in ("redis", "e-mail", "antivírus")] == [1, 1, 1]
    assert len(of(found, "endereços", "warn")) == 1
    assert of(found, "máquina", "ok") != []
    assert "n0venta7" not in json.dumps(found)


def test_a_database_behind_or_ahead_is_named(doctor: Doctor, new_database: NewDatabase, endpoints: Endpoints) -> None:
    behind = new_database("doctor_behind")
    owner = on_server(endpoints.owner_url, behind.rpartition("/")[2])
    for revision, said in (("0001", "faltam migrações"), ("9999", "versão mais nova")):
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", [revision])
        found = doctor(code=1, database_url=behind, carteira_modules="none")
        assert any(said in text for text in of(found, "postgresql", "fail"))


def test_a_database_that_is_not_there_is_named(doctor: Doctor, endpoints: Endpoints) -> None:
    found = doctor(code=1, database_url=on_server(endpoints.database_url, "nao_existe"), carteira_modules="none")
    assert "não existe" in of(found, "postgresql", "fail")[0]


def test_settings_that_are_wrong_are_named_one_by_one(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENVIROMENT=production\n")
    found = doctor(code=1, environment="production", port="oitenta")
    assert of(found, "configuração", "warn") == ["ENVIROMENT não é uma configuração"]
    assert of(found, "configuração", "fail") == ["PORT: Envie um número inteiro."]
    found = doctor(code=1, environment="production")
    assert len(of(found, "configuração", "fail")) > 10
    assert any(text.startswith("DOCS_OPEN") for text in of(found, "configuração", "fail"))


def test_secrets_that_others_may_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(_env_file=None, carteira_home=tmp_path / "home")
    (tmp_path / ".env").write_text("")
    (tmp_path / ".env").chmod(0o644)
    levels = [one.level for one in machine.look(settings) if ".env" in one.text]
    assert levels == ["warn"]
    (tmp_path / ".env").chmod(0o600)
    assert [one.level for one in machine.look(settings) if ".env" in one.text] == ["ok"]


def test_little_space_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def space(free: int) -> str:
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free))
        return machine.space_in("máquina", tmp_path).level

    assert [space(mib * 1_048_576) for mib in (100, 1_000, 100_000)] == ["fail", "warn", "ok"]


@pytest.mark.parametrize(("seconds", "level"), [(0, "ok"), (-5, "warn"), (5, "warn"), (-60, "fail"), (3600, "fail")])
def test_clocks_that_differ_are_named(seconds: int, level: str) -> None:
    now = clock.now()
    assert clock_finding("do Redis", now + timedelta(seconds=seconds), now).level == level
