"""`carteira doctor` reports what is wrong with an installation and what to do; it changes nothing."""

import asyncio
import json
import shutil
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from carteira import demo, schema
from carteira.doctor import machine
from carteira.doctor.database import clock_finding, of_version
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.settings import Settings
from tests.support.commands import run_command
from tests.support.databases import NewDatabase, as_owner, as_service, on_server

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
        done = run_command(tmp_path / "home", usual | settings, "doctor", "--json", cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
        assert [one for one in findings if one["level"] != "ok" and not one["advice"]] == []
        return findings

    return run


def of(findings: list[dict[str, Any]], area: str, *levels: str) -> list[str]:
    return [one["text"] for one in findings if one["area"] == area and one["level"] in levels]


def advice(findings: list[dict[str, Any]], begins: str) -> str | None:
    (found,) = (one["advice"] for one in findings if one["text"].startswith(begins))
    return str(found)


def test_a_fresh_installation_is_well_and_stays_as_it_is(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(code=1)
    failed = [one["text"].partition(" ")[0] for one in found if one["level"] == "fail"]
    assert failed == ["fsync", "full_page_writes"], "the tests' own server does not sync, to be fast"
    assert not [text for text in of(found, "postgresql", "warn") if "log do servidor" in text]
    areas = {one["area"] for one in found}
    assert areas >= {"configuração", "máquina", "chaves", "postgresql", "relógio", "redis", "dynamodb", "e-mail"}
    assert any("migrações em dia" in text for text in of(found, "postgresql", "ok"))
    assert not (tmp_path / "home").exists(), "a check creates nothing"


def test_lines_of_settings_that_set_nothing_or_twice_are_named(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DOCS_OPEN true\nLOG_LEVEL=info\nWORKERS=1\nLOG_LEVEL=error\nWORKERS=1\n")
    found = doctor(code=1, carteira_modules="none")
    assert of(found, "configuração", "fail") == ["a linha 1 de .env não foi entendida"]
    assert of(found, "configuração", "warn") == ["LOG_LEVEL tem dois valores em .env"]
    assert advice(found, "LOG_LEVEL") == "vale o da linha 4: apague o outro"


def test_silent_services_are_named_and_the_rest_is_examined(doctor: Doctor) -> None:
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
    for revision, serves, level, said in (
        ("0001", "0001", "fail", "faltam migrações"),
        ("9999", schema.SERVES_SINCE, "warn", "versão mais nova, que ainda serve a esta"),
        ("9999", "9999", "fail", "versão mais nova"),
    ):
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", [revision])
            comment = sql.Literal(schema.SERVES + serves)
            connection.execute(sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(comment))
        found = doctor(code=1, database_url=behind, carteira_modules="none")
        assert [said in text for text in of(found, "postgresql", level)].count(True) == 1


def test_the_owner_of_the_tables_is_checked(doctor: Doctor, new_database: NewDatabase, endpoints: Endpoints) -> None:
    made = new_database("doctor_owner")
    owner, service = as_owner(endpoints, made), as_service(endpoints, made)
    name = made.rpartition("/")[2]
    usual = {"database_url": service, "carteira_modules": "none"}
    found = doctor(code=1, **usual, migration_database_url=owner)
    assert of(found, "migração", "ok") == ["carteira migra e concede"]
    assert "direitos sobre as tabelas" in of(found, "postgresql", "ok"), "partitions are read by their table alone"
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("GRANT UPDATE ON ledger_entries TO carteira_app")
    found = doctor(code=1, **usual, migration_database_url=owner)
    assert of(found, "migração", "fail") == ["carteira_app não tem os direitos do serviço em ledger_entries"]
    found = doctor(code=1, **usual, migration_database_url=service)
    assert "carteira_app não pode criar tabelas" in of(found, "migração", "fail")
    assert any(text.startswith("carteira_app não é dono de ") for text in of(found, "migração", "fail"))
    assert len(of(found, "migração", "warn")) == 1
    found = doctor(code=1, **usual, migration_database_url=on_server(endpoints.superuser_url, name))
    assert "postgres é superusuário" in of(found, "migração", "warn")
    found = doctor(code=1, **usual, migration_database_url=on_server(endpoints.owner_url, "postgres"))
    assert of(found, "migração", "fail") == ["não é o banco de dados de DATABASE_URL"]
    found = doctor(code=1, **usual, migration_database_url="postgresql://ana@127.0.0.1:1/banco")
    assert "não foi possível falar com o PostgreSQL em 127.0.0.1:1/banco" in of(found, "migração", "fail")[0]
    assert advice(found, "não foi possível falar") == "está no ar? Confira MIGRATION_DATABASE_URL"


def test_a_log_of_the_server_that_repeats_personal_data_is_named(
    doctor: Doctor, new_database: NewDatabase, endpoints: Endpoints
) -> None:
    made = new_database("doctor_log")
    talkative = {
        "log_error_verbosity": "default",
        "log_min_error_statement": "error",
        "log_min_duration_statement": "1000",
    }
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        for name, value in talkative.items():
            database, setting = sql.Identifier(made.rpartition("/")[2]), sql.Identifier(name)
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, setting, sql.Literal(value)))
    found = doctor(code=1, database_url=made, carteira_modules="none")
    told = "defina log_min_error_statement=panic log_error_verbosity=terse log_parameter_max_length=0"
    assert advice(found, "o log do servidor repete valores") == told


@pytest.mark.parametrize(("major", "level"), [(16, "fail"), (17, "ok"), (18, "ok"), (19, "warn")])
def test_untested_versions_of_postgresql_are_reported(major: int, level: str) -> None:
    assert of_version(f"{major}.1", major, is_tls=True).level == level


def test_a_missing_database_is_reported(doctor: Doctor, endpoints: Endpoints) -> None:
    found = doctor(code=1, database_url=on_server(endpoints.database_url, "nao_existe"), carteira_modules="none")
    assert "não existe" in of(found, "postgresql", "fail")[0]


def test_settings_that_are_wrong_are_named_one_by_one(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENVIROMENT=production\n")
    found = doctor(code=1, environment="production", port="oitenta")
    assert of(found, "configuração", "warn") == ["ENVIROMENT não é uma configuração"]
    assert of(found, "configuração", "fail") == ["PORT: Envie um número inteiro, só com algarismos."]
    assert advice(found, "PORT") == "corrija PORT no ambiente deste processo"
    (tmp_path / ".env").write_text("# comentário\nHOST=0.0.0.0\nWORKERS=nenhum\n")
    found = doctor(code=1)
    assert advice(found, "WORKERS") == f"corrija WORKERS na linha 3 de {tmp_path / '.env'}"
    (tmp_path / ".env").write_bytes("PORT=8000 # número\n".encode("latin-1"))
    assert advice(doctor(code=1), "o arquivo") == f"corrija {tmp_path / '.env'}"
    (tmp_path / ".env").unlink()
    found = doctor(code=1, environment="production")
    assert len(of(found, "configuração", "fail")) > 10
    assert any(text.startswith("DOCS_OPEN") for text in of(found, "configuração", "fail"))
    assert advice(found, "DOCS_OPEN") == f"defina DOCS_OPEN no ambiente ou em {tmp_path / '.env'}"


def test_secrets_that_others_may_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(_env_file=None, carteira_home=tmp_path / "home")
    (tmp_path / ".env").write_text("")
    (tmp_path / ".env").chmod(0o644)
    levels = [one.level for one in machine.check(settings) if ".env" in one.text]
    assert levels == ["warn"]
    (tmp_path / ".env").chmod(0o600)
    assert [one.level for one in machine.check(settings) if ".env" in one.text] == ["ok"]


def test_little_space_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def space(free: int) -> str:
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free))
        return machine.space_in("máquina", tmp_path).level

    assert [space(mib * 1_048_576) for mib in (100, 1_000, 100_000)] == ["fail", "warn", "ok"]


@pytest.mark.parametrize(("seconds", "level"), [(0, "ok"), (-5, "warn"), (5, "warn"), (-60, "fail"), (3600, "fail")])
def test_clocks_that_differ_are_named(seconds: int, level: str) -> None:
    now = clock.now()
    assert clock_finding("do Redis", now + timedelta(seconds=seconds), now).level == level
